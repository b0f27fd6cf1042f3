"""Memory that it takes to load a folder and to save it again, in a process of its own.

`python -m tests.jaxft.llama.measured SOURCE TARGET MAX_SHARD_BYTES` prints the highest resident memory during each, in
bytes above what the process held before it read anything. Linux alone tells (/proc).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax.numpy as jnp

from jaxft.llama.checkpoint import load, save


def resident(key: str) -> int:
    """VmRSS (now) or VmHWM (highest) in bytes. The kernel's ru_maxrss would count the parent before exec, too."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[key].split()[0]) * 1024


def main(source: str, target: str, max_shard_bytes: str) -> None:
    jnp.zeros(1).block_until_ready()  # start the backend
    before = resident("VmRSS")
    model = load(source, dtype=None)
    loading = resident("VmHWM") - before
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
    save(model, target, max_shard_bytes=int(max_shard_bytes))
    print(json.dumps({"load": loading, "save": resident("VmHWM") - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A model loaded onto 8 devices and saved from there; run as a module, for JAX fixes its devices when it starts.

`python -m tests.jaxft.llama.sharded SOURCE TARGET READ LAYOUT DTYPE AXES [PORT PROCESS]` writes the bytes that it read
of each tensor to the file READ, as JSON. With PORT and PROCESS it is one of two processes with 4 devices each.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROCESSES = 2 if len(sys.argv) > 7 else 1
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={8 // PROCESSES}"

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax.sharding import AxisType, NamedSharding, PartitionSpec  # noqa: E402

from jaxft.llama.checkpoint import load, save  # noqa: E402
from jaxft.llama.hf_tensors import Tensors  # noqa: E402

P = PartitionSpec
Layout = Callable[[str, str], PartitionSpec]


def _layout(kernel: P, embed: P, head: P, norm: P) -> Layout:
    def spec(owner: str, name: str) -> P:
        if not owner:
            return {"embed": embed, "head": head, "norm": norm}[name]
        return P(None, *norm) if name.endswith("norm") else kernel

    return spec


#: Mesh axes x (4) and y (2) over the axes of each kind of parameter.
LAYOUTS: dict[str, Layout] = {
    "inputs": _layout(P(None, "x", None), P("x", None), P(None, "x"), P()),
    "outputs": _layout(P(None, None, ("x", "y")), P(None, ("x", "y")), P(None, ("x", "y")), P(("x", "y"))),
    "both": _layout(P(None, "x", "y"), P("y", "x"), P("x", "y"), P("x")),
    "copied": _layout(P(), P(), P(), P()),
    "layers": _layout(P("y"), P(), P(), P()),
}


def spy() -> Counter[str]:
    """Count the bytes that are read of each tensor from now on."""
    counted: Counter[str] = Counter()
    read = Tensors.read

    def counting(self: Tensors, name: str, *part: Any) -> np.ndarray:
        value = read(self, name, *part)
        counted[name] += value.nbytes
        return value

    Tensors.read = counting  # type: ignore[method-assign]
    return counted


def main(source: str, target: str, read: str, layout: str, dtype: str, axes: str, *process: str) -> None:
    if process:
        port, number = process
        jax.distributed.initialize(f"localhost:{port}", PROCESSES, int(number))
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType[axes],) * 2)
    spec, kept = LAYOUTS[layout], None if dtype == "kept" else dtype

    def sharding(owner: str, name: str) -> NamedSharding:
        return NamedSharding(mesh, spec(owner, name))

    counted = spy()
    model = load(source, dtype=kept, sharding=sharding)
    Path(read).write_text(json.dumps(counted))

    for owner, name in (("", "embed"), ("", "norm"), ("layers", "q"), ("layers", "down"), ("layers", "mlp_norm")):
        array = getattr(getattr(model, owner) if owner else model, name)[...]
        assert array.sharding.is_equivalent_to(sharding(owner, name), array.ndim), (name, array.sharding)
    if not process:
        plain = load(source, dtype=kept)
        for array, expected in zip(jax.tree.leaves(model), jax.tree.leaves(plain), strict=True):
            assert array.dtype == expected.dtype
            assert np.asarray(array).tobytes() == np.asarray(expected).tobytes()
        save(plain, target + "-plain", max_shard_bytes=20_000)
    with jax.set_mesh(mesh):
        save(model, target, max_shard_bytes=20_000)


if __name__ == "__main__":
    main(*sys.argv[1:])

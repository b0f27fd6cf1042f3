"""Folders onto several devices and processes and back: the same bits, and no byte read that is not needed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxft.llama.checkpoint import content_hash
from tests.jaxft.llama.small import CONFIGS, tensors, write_folder

ROOT = Path(__file__).parents[3]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.jaxft.llama.sharded", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE)


def errors(process: subprocess.Popen[str]) -> str:
    """What it said; it has ended when this returns."""
    return process.communicate()[1]


def divisible(variant: str) -> dict[str, Any]:
    """config.json of a model whose axes all divide by 8."""
    return {**CONFIGS[variant], "vocab_size": 64, "intermediate_size": 48}


def source(folder: Path, variant: str, stored: str) -> Path:
    config = divisible(variant)
    return write_folder(folder, config, tensors(config, dtype=stored), shards=3)


def sizes(variant: str, stored: str) -> dict[str, int]:
    """Bytes of every tensor of `source`."""
    return {name: value.nbytes for name, value in tensors(divisible(variant), dtype=stored).items()}


@pytest.mark.parametrize(
    ("layout", "variant", "stored", "dtype", "axes"),
    [
        ("inputs", "tied", "float32", "kept", "Explicit"),
        ("outputs", "grouped", "bfloat16", "float32", "Explicit"),
        ("both", "grouped", "bfloat16", "kept", "Explicit"),
        ("both", "tied", "float32", "bfloat16", "Auto"),
        ("copied", "grouped", "float32", "kept", "Explicit"),
    ],
)
def test_a_sharded_model_is_the_same_and_read_once(
    tmp_path: Path, layout: str, variant: str, stored: str, dtype: str, axes: str
) -> None:
    folder, copy = source(tmp_path / "source", variant, stored), tmp_path / "copy"
    process = start(folder, copy, tmp_path / "read", layout, dtype, axes)
    said = errors(process)
    assert process.returncode == 0, said
    assert json.loads((tmp_path / "read").read_text()) == sizes(
        variant, stored
    )  # devices that hold the same part share it
    plain = sorted((tmp_path / "copy-plain").iterdir())
    assert len(plain) > 3  # config, index and several files
    assert [path.name for path in plain] == sorted(path.name for path in copy.iterdir())
    assert all(path.read_bytes() == (copy / path.name).read_bytes() for path in plain)
    assert (content_hash(copy) == content_hash(folder)) == (dtype == "kept")


def test_each_process_reads_its_own_parts_and_the_first_one_writes(tmp_path: Path) -> None:
    folder, copy = source(tmp_path / "source", "grouped", "bfloat16"), tmp_path / "copy"
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    reads = [tmp_path / f"read{number}" for number in range(2)]
    both = [start(folder, copy, read, "both", "kept", "Explicit", port, str(n)) for n, read in enumerate(reads)]
    said = [errors(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    # Mesh axis x, which alone tells the processes apart, splits an axis of every parameter.
    half = {name: size // 2 for name, size in sizes("grouped", "bfloat16").items()}
    assert [json.loads(read.read_text()) for read in reads] == [half, half]
    assert content_hash(copy) == content_hash(folder)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_layer_must_be_whole(tmp_path: Path) -> None:
    folder = source(tmp_path / "source", "tied", "float32")
    process = start(folder, tmp_path / "copy", tmp_path / "read", "layers", "kept", "Explicit")
    assert "ValueError: q: the layer axis is sharded over 'y'; each layer must be whole." in errors(process)

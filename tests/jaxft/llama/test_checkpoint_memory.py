"""Loading and saving a model of 2 GB takes little more memory than the model."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.jaxft.llama.small import CONFIGS

ROOT = Path(__file__).parents[3]
CONFIG = {
    **CONFIGS["multi_head"],
    "vocab_size": 9216,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 9,
    "num_attention_heads": 16,
}
SHARDS = 8


def shapes() -> dict[str, tuple[int, int] | tuple[int]]:
    hidden, mlp, vocab = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["vocab_size"]
    found: dict[str, tuple[int, int] | tuple[int]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(CONFIG["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        found |= {f"{prefix}.{norm}_layernorm.weight": (hidden,) for norm in ("input", "post_attention")}
        found |= {f"{prefix}.self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"}
        found |= {f"{prefix}.mlp.{name}_proj.weight": (mlp, hidden) for name in ("gate", "up")}
        found[f"{prefix}.mlp.down_proj.weight"] = (hidden, mlp)
    return {**found, "model.norm.weight": (hidden,), "lm_head.weight": (vocab, hidden)}


def write(folder: Path) -> int:
    """A float32 model of random bits, NaNs and all, in shards of like size; returns the bytes of its tensors."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    sizes = {name: 4 * math.prod(shape) for name, shape in shapes().items()}
    total, done, random = sum(sizes.values()), 0, np.random.default_rng(0)
    names_of: dict[str, list[str]] = {}
    for name, size in sizes.items():
        file = f"model-{1 + done * SHARDS // total:05}-of-{SHARDS:05}.safetensors"
        names_of.setdefault(file, []).append(name)
        done += size
    for file, names in names_of.items():
        bits = {name: random.integers(0, 2**32, shapes()[name], np.uint32) for name in names}
        save_file({name: value.view(np.float32) for name, value in bits.items()}, folder / file, {"format": "pt"})
    weight_map = {name: file for file, names in names_of.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return total


def values(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """All tensors of a folder in the order of their names, one at a time."""
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    for name, path in sorted(weight_map.items()):
        with safe_open(folder / path, "np") as file:
            yield name, file.get_tensor(name)


@pytest.mark.slow  # 2 GB are made up, read, written and compared: 10 to 40 s, and 4 GB of disk for as long
def test_two_gigabytes_pass_through_with_little_more_memory(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    try:
        size = write(source)
        assert 2e9 < size < 2.2e9
        assert len(list(source.glob("*.safetensors"))) == SHARDS
        command = [sys.executable, "-m", "tests.jaxft.llama.measured", source, copy, str(size // SHARDS)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peak = json.loads(done.stdout)
        print({key: f"{value / size:.3f} of {size:,} bytes" for key, value in peak.items()})
        assert peak["load"] < 1.3 * size
        assert peak["save"] < 1.3 * size
        assert len(list(copy.glob("*.safetensors"))) >= SHARDS
        for (name, value), (other, copied) in zip(values(source), values(copy), strict=True):
            assert (name, value.dtype, value.shape) == (other, copied.dtype, copied.shape)
            assert np.array_equal(value.view(np.uint32), copied.view(np.uint32)), name
    finally:
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(copy, ignore_errors=True)

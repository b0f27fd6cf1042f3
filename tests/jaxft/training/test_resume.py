"""Runs that are killed go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.jaxft.training.interrupted import run
from tests.jaxft.training.small_run import METHODS

ROOT = Path(__file__).parents[3]
#: One of each way to train; the others' runs, each in a process of its own that compiles, add up to minutes.
FIRST = ("full", "lora", "gradient_projection")
KINDS = [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]


def kill(name: str, folder: Path, where: str) -> None:
    """Train in another process until it dies by SIGKILL."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.jaxft.training.interrupted", name, str(folder), where],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def checkpoints(folder: Path) -> list[str]:
    """Names of the finished checkpoints."""
    return sorted(path.name for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same(got: Any, want: Any) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for leaf, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(leaf, expected)


@pytest.mark.parametrize("name", KINDS)
def test_killed_and_resumed_is_bit_for_bit_uninterrupted(tmp_path: Path, name: str) -> None:
    """5 steps, kill -9 in step 8, resumption at step 6 in this process."""
    kill(name, tmp_path / "killed", "8")
    assert checkpoints(tmp_path / "killed") == ["5"]
    assert [line["step"] for line in lines(tmp_path / "killed")] == [1, 2, 3, 4, 5, 6]
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')  # a line that the kill cut short
    whole, resumed = run(name, tmp_path / "whole"), run(name, tmp_path / "killed")
    assert_same(resumed.trainable, whole.trainable)
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert [line["step"] for line in lines(tmp_path / "whole")] == list(range(1, 11))
    assert checkpoints(tmp_path / "killed") == ["10"]
    # A finished run is read back, not redone.
    before = (tmp_path / "killed" / "metrics.jsonl").read_bytes()
    assert_same(run(name, tmp_path / "killed").trainable, whole.trainable)
    assert (tmp_path / "killed" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(("where", "kept"), [("save", "5"), ("forget", "10")])
def test_a_kill_while_saving_leaves_a_whole_checkpoint(tmp_path: Path, where: str, kept: str) -> None:
    kill("lora", tmp_path, where)
    assert kept in checkpoints(tmp_path)
    unfinished = [path.name for path in (tmp_path / "checkpoints").iterdir() if "tmp" in path.name]
    assert bool(unfinished) == (where == "save")
    assert_same(run("lora", tmp_path).trainable, run("lora", None).trainable)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 11))
    assert "10" in checkpoints(tmp_path)
    assert not [path.name for path in (tmp_path / "checkpoints").iterdir() if "tmp" in path.name]


def test_writing_checkpoints_changes_no_weight(tmp_path: Path) -> None:
    assert_same(run("lora", tmp_path).trainable, run("lora", None).trainable)


def test_another_seed_gives_other_weights() -> None:
    one, other = run("lora", None), run("lora", None, seed=8)
    assert np.abs(one.trainable["q"].b - other.trainable["q"].b).max() > 1e-4

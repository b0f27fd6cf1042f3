"""What the loop refuses, where it stops, and what it leaves on disk. Resumption is in test_resume.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxft.errors import UserError
from jaxft.training.checkpoint import Checkpoints
from jaxft.training.config import Training
from jaxft.training.loop import Trained, train
from jaxft.training.metrics import NonFiniteError
from jaxft.training.step import initial_state
from tests.jaxft.training.small_run import METHODS, TRAINING, base, build, rows

IDENTITY = {"method": "lora"}


def run(training: Training, learning_rate: float, folder: Path | None, identity: Any = IDENTITY) -> Trained:
    method, constants = build(METHODS["lora"])
    return train(
        method,
        training,
        learning_rate,
        base(),
        constants,
        rows(),
        seed=0,
        label=f"lora lr {learning_rate:g}",
        folder=folder,
        identity=identity,
    )


def test_an_overflow_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """The first step has learning rate 0 (warm-up); the second adds 1e38 to every weight."""
    training = replace(TRAINING, checkpoint_every=1)
    with pytest.raises(NonFiniteError, match="lora lr 2e[+]38: update_norm is inf at step 2; training stopped"):
        run(training, 2e38, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()] == ["1"]
    checkpoints = Checkpoints(tmp_path / "checkpoints", IDENTITY)
    method, constants = build(METHODS["lora"])
    start = initial_state(method, training, base(), constants, jax.random.key(0))
    restored = checkpoints.restore(start)
    checkpoints.close()
    assert restored is not None
    for leaf, expected in zip(jax.tree.leaves(restored.trainable), jax.tree.leaves(start.trainable), strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    run(TRAINING, 1e-3, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="checkpoints of another run .different: method."):
        run(TRAINING, 1e-3, tmp_path, {"method": "full"})
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_rows_must_divide_into_microbatches(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="^Training.batch_rows: found 4, expected a multiple of Training.accumulation, 3$"
    ):
        run(replace(TRAINING, accumulation=3), 1e-3, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_training_learns_and_tells_its_speed() -> None:
    trained = run(TRAINING, 3e-2, None)
    assert set(trained.timings) == {"train_seconds", "tokens_per_second", "step_milliseconds"}
    assert all(value > 0 for value in trained.timings.values())
    assert float(np.abs(trained.trainable["q"].b).max()) > 0.01

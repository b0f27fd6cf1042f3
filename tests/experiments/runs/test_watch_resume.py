"""Watched trainings that are killed, told to stop or stop early go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from experiments.config import Watch
from jaxft.errors import UserError
from jaxft.preemption import Preempted
from tests.experiments.runs.watched import LAST, WATCH, assert_same, measure, train, watcher
from tests.experiments.world import REPOSITORY
from tests.jaxft.training import interrupted


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "watch.jsonl").read_text().splitlines()]


def steps(folder: Path) -> list[int]:
    return [line["step"] for line in lines(folder)]


class Whole(NamedTuple):
    """Uninterrupted trainings: one that keeps the best weights in `best`, one that keeps the last in `last`."""

    best: Path
    last: Path
    trained: dict[str, Any]  # the weights that each left, by the name of its folder
    seen: dict[int, Any]  # the weights that were looked at, by step


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, seen = tmp_path_factory.mktemp("whole"), {}

    def note(trainable: Any) -> Any:
        seen[2 * len(seen) + 2] = jax.tree.map(np.array, trainable)
        return measure(trainable)

    last, best = train(folder / "last", LAST, note), train(folder / "best")
    return Whole(folder / "best", folder / "last", {"best": best.trainable, "last": last.trainable}, seen)


def checkpoints(folder: Path) -> list[str]:
    """Names of the finished checkpoints."""
    return [path.name for path in folder.iterdir() if path.name.isdigit()]


def test_the_best_weights_are_left(whole: Whole, tmp_path: Path) -> None:
    """Looking changes no step; what is kept are the weights as they were at that step, and nothing else stays."""
    assert_same(whole.trained["last"], interrupted.run("lora", None).trainable)
    assert_same(whole.trained["last"], whole.seen[10])
    assert_same(whole.trained["best"], whole.seen[6])
    assert lines(whole.best) == lines(whole.last) and steps(whole.best) == [2, 4, 6, 8, 10]
    assert watcher(whole.best, look=None).kept == 6 and watcher(whole.last, LAST, None).kept == 10
    assert checkpoints(whole.best / "checkpoints") == ["10"] == checkpoints(whole.last / "checkpoints")
    assert checkpoints(whole.best / "checkpoints" / "kept") == ["6"]
    assert not (whole.last / "checkpoints" / "kept").exists()
    folder = tmp_path / "copy"
    shutil.copytree(whole.best, folder)
    again = train(folder, look=None)  # read back: nothing is looked at
    assert again.timings is None
    assert_same(again.trainable, whole.trained["best"])
    shutil.rmtree(folder / "checkpoints" / "kept")
    with pytest.raises(UserError, match=r"kept: does not hold the weights of step 6, the best of this run.\nDelete "):
        train(folder)


def test_killed_while_keeping_and_resumed_is_bit_for_bit_uninterrupted(whole: Whole, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.experiments.runs.watched", str(tmp_path)],
        cwd=REPOSITORY,
        # As here: how XLA on CPU sums, and so the last bit, depends on the number of devices.
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_NUM_CPU_DEVICES": str(jax.device_count())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = tmp_path / "checkpoints" / "kept"
    assert checkpoints(kept) == ["4"] and checkpoints(kept.parent) == ["6"] and steps(tmp_path) == [2, 4, 6]
    assert_same(train(tmp_path).trainable, whole.trained["best"])
    assert lines(tmp_path) == lines(whole.best) and checkpoints(kept) == ["6"]


@pytest.mark.parametrize(("settings", "goes_on_from"), [(WATCH, "6"), (LAST, "5")], ids=["best", "last"])
def test_cut_off_while_looking(whole: Whole, tmp_path: Path, settings: Watch, goes_on_from: str) -> None:
    left = 4

    def fail(trainable: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return measure(trainable)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, settings, fail)
    assert steps(tmp_path) == [2, 4, 6, 8] and checkpoints(tmp_path / "checkpoints") == [goes_on_from]
    assert_same(train(tmp_path, settings).trainable, whole.trained[settings.keep])
    assert lines(tmp_path) == lines(whole.best)


def test_a_look_that_a_signal_came_before_is_made_up(whole: Whole, tmp_path: Path, monkeypatch) -> None:
    add = interrupted.Metrics.add

    def add_and_signal(self: Any, step: int, metrics: Any) -> None:
        add(self, step, metrics)
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(interrupted.Metrics, "add", add_and_signal)
    with pytest.raises(Preempted, match="after step 6 of 10, saved"):
        train(tmp_path)
    monkeypatch.undo()
    assert steps(tmp_path) == [2, 4]
    assert_same(train(tmp_path).trainable, whole.trained["best"])
    assert lines(tmp_path) == lines(whole.best)


def test_training_stops_early_and_is_read_back(tmp_path: Path, capsys) -> None:
    settings = replace(WATCH, stop_after=1)
    trained = train(tmp_path, settings)
    assert steps(tmp_path) == [2, 4, 6, 8] and trained.timings is not None
    assert "step 8/10  proficiency 0.426  knowledge 0.574  lost 42.64%, training stops" in capsys.readouterr().err
    before = (tmp_path / "metrics.jsonl").read_bytes()
    assert before.count(b"\n") == 8
    again = train(tmp_path, settings, look=None)
    assert again.timings is None and (tmp_path / "metrics.jsonl").read_bytes() == before
    assert_same(again.trainable, trained.trainable)
    assert measure(again.trainable)["proficiency"] == lines(tmp_path)[2]["proficiency"]

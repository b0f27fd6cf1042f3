"""Trackers get the lines of metrics.jsonl, each once; a tracker that fails is left out, with one warning.

Each package is tried where it is installed: pip install -e '.[tensorboard,wandb,mlflow,trackio]'.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxft.errors import UserError
from jaxft.training import trackers
from jaxft.training.loop import train
from jaxft.training.metrics import Metrics
from jaxft.training.trackers import OPEN, Line, Name, Opened, Tracker, check_installed
from tests.jaxft.training.small_run import METHODS, TRAINING, base, build, rows

Logged = list[tuple[int, dict[str, float]]]


def lines_of(folder: Path) -> Logged:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line.pop("step"), line) for line in found]


class Fake:
    """A tracker that keeps what it gets, and fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.logged, self.opened, self.closed = fails, [], 0, 0

    def open(self, home: Path, label: str, settings: Any) -> Opened:
        assert home.is_dir()
        self.opened += 1
        self._do("open")
        return self._log, self._close

    def _log(self, lines: Sequence[Line]) -> None:
        self._do("log")
        self.logged += [(step, dict(values)) for step, values in lines]

    def _close(self) -> None:
        self.closed += 1
        self._do("close")

    def _do(self, what: str) -> None:
        print("a tracker that prints")
        if self.fails == what:
            raise RuntimeError(f"no network to {what}")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Fake:
    found = Fake(getattr(request, "param", ""))
    monkeypatch.setitem(OPEN, "wandb", found.open)
    monkeypatch.setattr(trackers, "find_spec", lambda name: object())
    return found


def run(folder: Path, tracker: Name | None, steps: int = 10) -> Any:
    method, constants = build(METHODS["lora"])
    training = replace(TRAINING, tracker=tracker, steps=steps)
    arguments = (method, training, 1e-3, base(), constants, rows())
    return train(*arguments, seed=0, label="lora", folder=folder, identity={}).trainable


def test_it_gets_every_line_once_and_changes_no_weight(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, tracked = run(tmp_path / "plain", None), run(tmp_path / "tracked", "wandb")
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(tracked), strict=True):
        np.testing.assert_array_equal(one, other)
    assert fake.logged == lines_of(tmp_path / "tracked") == lines_of(tmp_path / "plain")
    assert [step for step, _ in fake.logged] == list(range(1, 11)) and fake.closed == 1
    run(tmp_path / "tracked", "wandb")  # is done
    run(tmp_path / "plain", "wandb")  # is done too: a tracker is no reason to train again
    assert (fake.opened, fake.closed) == (1, 1)
    assert "prints" not in capsys.readouterr().out  # standard output is for results


@pytest.mark.parametrize(("fake", "got"), [("open", 0), ("log", 0), ("close", 10)], indirect=["fake"])
def test_a_failure_is_said_once_and_stops_nothing(
    fake: Fake, got: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "jaxft"):
        run(tmp_path, "wandb")
    assert [step for step, _ in lines_of(tmp_path)] == list(range(1, 11))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "lora: wandb failed and gets no more metrics; training goes on" in warnings[0]
    assert f"no network to {fake.fails}" in warnings[0] and len(fake.logged) == got


def test_a_resumed_run_logs_no_step_twice(fake: Fake, tmp_path: Path) -> None:
    """The first process was killed after step 6, its last checkpoint is of step 4."""
    path = tmp_path / "metrics.jsonl"
    for start, last in ((0, 6), (4, 8)):
        metrics = Metrics(path, "label", 8, start, Tracker("wandb", tmp_path, "label", {}))
        for step in range(start + 1, last + 1):
            metrics.add(step, {"loss": 1.0, "tokens": 3})
            metrics.flush()
    assert [step for step, _ in lines_of(tmp_path)] == [step for step, _ in fake.logged] == list(range(1, 9))


@pytest.mark.parametrize("name", OPEN)
def test_a_package_that_is_missing_is_named_before_training(
    name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=f"training.tracker: the package {name} is not installed.\n.*pip install {name}"
    ):
        check_installed(name, "training.tracker")
    with pytest.raises(UserError, match=f"the package {name} is not installed"):
        run(tmp_path, name)
    assert not list(tmp_path.rglob("*.json*"))


def test_without_a_folder_nothing_is_tracked(fake: Fake) -> None:
    method, constants = build(METHODS["lora"])
    training = replace(TRAINING, tracker="wandb", steps=1, warmup=0)
    train(method, training, 1e-3, base(), constants, rows(), seed=0, label="lora")
    assert fake.opened == 0


def read_tensorboard(home: Path) -> Logged:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(home))
    events.Reload()
    found: dict[int, dict[str, float]] = {}
    for name in events.Tags()["tensors"]:
        for event in events.Tensors(name):
            found.setdefault(event.step, {})[name] = float(tensor_util.make_ndarray(event.tensor_proto))
    return sorted(found.items())


def wandb_records(path: Path) -> Iterator[bytes]:
    """The records of a .wandb file: after 7 bytes, LevelDB's log format, in blocks of 32 KiB."""
    content, place, record = path.read_bytes(), 7, b""
    while place < len(content):
        if 2**15 - place % 2**15 < 7:  # a header does not fit into the block
            place += 2**15 - place % 2**15
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield record
            record = b""


def read_wandb(home: Path) -> Logged:
    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for path in sorted(home.glob("offline-run-*/*.wandb")):
        for content in wandb_records(path):
            record = Record()
            record.ParseFromString(content)
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            if items:
                found.append((items["_step"], {key: value for key, value in items.items() if key[0] != "_"}))
    return found


def read_mlflow(home: Path) -> Logged:
    from mlflow import MlflowClient

    client, found = MlflowClient(f"sqlite:///{home / 'mlflow.db'}"), {}
    run = client.get_run((home / "run").read_text())
    assert run.data.params["method"] == "lora" and run.info.status == "FINISHED"
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            found.setdefault(metric.step, {})[name] = metric.value
    return sorted(found.items())


def read_trackio(home: Path) -> Logged:
    from trackio.sqlite_storage import SQLiteStorage

    logs = SQLiteStorage.get_logs("jaxft", f"lora {(home / 'run').read_text()[:8]}")
    return [(line.pop("step"), {key: value for key, value in line.items() if key != "timestamp"}) for line in logs]


@pytest.mark.filterwarnings("ignore")  # of the packages' own
@pytest.mark.parametrize("read", [read_tensorboard, read_wandb, read_mlflow, read_trackio])
def test_each_package_keeps_the_metrics_of_an_interrupted_run(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name: Any = read.__name__.removeprefix("read_")
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read on import
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for stop in (5, 10):
        run(tmp_path / "run", name, steps=stop)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING and record.name == "jaxft"]
    expected, found = lines_of(tmp_path / "run"), read(tmp_path / "run" / name)
    assert [step for step, _ in found] == list(range(1, 11))
    for (_, values), (_, kept) in zip(expected, found, strict=True):
        assert kept == pytest.approx(values, rel=1e-6)

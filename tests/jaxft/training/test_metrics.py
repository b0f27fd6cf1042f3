"""metrics.jsonl, the progress line, and the stop at the first number that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jaxft.errors import UserError
from jaxft.training.metrics import Metrics, NonFiniteError


def steps_of(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_lines_are_written_when_flushed_and_progress_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, "full lr 0.1", steps=8, start=0)
    for step in (1, 2, 3):
        metrics.add(step, {"loss": 1.5 / step, "tokens": 100})
    assert not path.exists()
    metrics.flush()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "loss": 1.5, "tokens": 100.0},
        {"step": 2, "loss": 0.75, "tokens": 100.0},
        {"step": 3, "loss": 0.5, "tokens": 100.0},
    ]
    told = capsys.readouterr().err
    assert "full lr 0.1  step 3/8  loss 0.5000" in told
    assert "tokens/s" in told and told.endswith(" left\n")
    assert metrics.tokens == 200  # the first step, which compiles, is left out of the speed
    timings = metrics.timings
    assert timings["tokens_per_second"] == pytest.approx(200 / timings["train_seconds"])
    assert timings["step_milliseconds"] == pytest.approx(1000 * timings["train_seconds"] / 2)


def test_a_pause_is_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    metrics = Metrics(tmp_path / "metrics.jsonl", "label", steps=3, start=0)
    for step in (1, 2):
        metrics.add(step, {"loss": 1.0, "tokens": 60})
        now += 2
        with metrics.paused():
            assert steps_of(tmp_path / "metrics.jsonl")[-1] == step  # nothing is left to the devices
            now += 50
    assert metrics.timings == {"train_seconds": 4.0, "tokens_per_second": 15.0, "step_milliseconds": 4000.0}


def test_resumption_drops_what_will_be_run_again_and_a_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in range(1, 6)) + '{"step": 6, "lo')
    Metrics(path, "label", steps=8, start=4)
    assert steps_of(path) == [1, 2, 3, 4]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_the_first_number_that_is_none_stops_the_run(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, "lora lr 9", steps=8, start=0)
    metrics.add(1, {"loss": 1.0, "gradient_norm": 2.0})
    metrics.add(2, {"loss": 1.0, "gradient_norm": bad})
    metrics.add(3, {"loss": bad, "gradient_norm": bad})
    with pytest.raises(NonFiniteError, match=f"lora lr 9: gradient_norm is {bad} at step 2; .*last good checkpoint"):
        metrics.flush()
    assert issubclass(NonFiniteError, UserError)
    assert steps_of(path) == [1, 2]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = Metrics(None, "label", steps=1, start=0)
    metrics.add(1, {"loss": 1.0, "tokens": 3})
    metrics.flush()
    assert not list(tmp_path.iterdir())

"""One toy benchmark from settings to record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.benchmarks import benchmark, rival
from experiments.benchmarks.record import _utilisation
from jaxft.errors import UserError
from tests.experiments.benchmarks.conftest import Measured
from tests.experiments.benchmarks.toy import toy


def test_the_record_is_on_disk_and_complete(measured: Measured) -> None:
    record = measured.record
    assert json.loads((measured.out / "record.json").read_text()) == record
    assert record["kind"] == "benchmark" and record["command"] == "jaxft benchmark toy.py"
    assert {"created", "versions", "hardware", "config", "rival", "formulas"} <= set(record)
    assert record["rival"]["available"] == (not rival.missing())


def test_every_contestant_has_every_round(measured: Measured) -> None:
    found = {(m["part"], m["side"], m["work"]): m for m in measured.record["measurements"]}
    wanted = {("train", "jaxft", name) for name in ("full", "lora", "projection", "unprojected")}
    wanted |= {("calibration", "jaxft", "forward"), ("calibration", "jaxft", "moments")}
    wanted |= {("generation", "jaxft", "greedy"), ("import", "jaxft", "import"), ("import", "jaxft", "help")}
    if not rival.missing():
        wanted |= {("train", "torch", "full"), ("train", "torch", "lora")}
        wanted |= {("generation", "torch", "greedy"), ("import", "torch", "import")}
    assert set(found) == wanted
    assert all(len(m["seconds"]) == 2 and min(m["seconds"]) > 0 for m in found.values())
    assert {m["amount"] for m in found.values() if m["part"] == "train"} == {60}
    for name in ("full", "lora", "projection", "unprojected"):
        step = found["train", "jaxft", name]  # the weights and Adam's two moments at least
        assert step["memory"]["bytes"] > 4 * 3 * step["trained_parameters"]


def test_comparisons_within_jaxft_are_always_there(measured: Measured) -> None:
    names = {comparison["name"] for comparison in measured.record["comparisons"]}
    alone = {"projection step", "projecting alone", "calibration"}
    both = {"full step", "LoRA step", "generation", "import"}
    assert names == alone | (set() if rival.missing() else both)


def test_utilisation_is_that_of_the_median_round() -> None:
    measurement = {"flops": 600, "amount": 2, "rate": {"median": 10.0}}
    assert _utilisation(measurement, 6000.0) == 0.5
    assert _utilisation(measurement, None) is None
    assert _utilisation({**measurement, "rate": None}, 6000.0) is None


def test_bad_settings_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rank"):
        benchmark(toy(rank=100), tmp_path / "out", "")
    assert not (tmp_path / "out").exists()

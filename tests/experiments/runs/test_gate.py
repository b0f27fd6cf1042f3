"""SHIP or DON'T SHIP: losses against a budget, with their intervals, as text and as exit codes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.cli import main
from experiments.evaluation.statistics import compare
from experiments.runs.gate import DONT, SHIP, WIDE, loss
from experiments.store.record import AxisDescription
from experiments.store.record.codec import to_json
from experiments.store.record.method import AxisResult
from tests.experiments.report.builder import build
from tests.experiments.world import one_error

ACCURACY = AxisDescription(task="safety", metric="accuracy", unit="fraction", higher_is_better=True, examples=300)
LIKELIHOOD = AxisDescription(task="x", metric="loss", unit="nat/token", higher_is_better=False, examples=300)


def answers(lost: int, won: int, n: int, right: float = 0.5) -> AxisResult:
    """n answers, of which `right` were right before; some became wrong, some right."""
    before = np.array([float(index < right * n) for index in range(n)])
    after = before.copy()
    after[:lost], after[n - won :] = 0.0, 1.0
    return compare(before, after[None], np.ones(n), binary=True)


def losses(rise: float, noise: float, n: int = 200) -> AxisResult:
    """n texts of 2 nat/token, whose loss rises by `rise` nat/token on average."""
    before = np.full(n, 2.0)
    changes = noise * np.random.default_rng(0).standard_normal(n)
    return compare(before, (before + rise + changes - changes.mean())[None], np.ones(n), binary=False)


@pytest.mark.parametrize(
    ("result", "axis", "budget", "verdict"),
    [
        (answers(0, 0, 300, 1.0), ACCURACY, 0.01, SHIP),
        (answers(0, 0, 200, 1.0), ACCURACY, 0.01, WIDE),  # no answer lost, but 200 are too few to say so of 1 %
        (answers(0, 0, 20, 1.0), ACCURACY, 0.01, WIDE),
        (answers(3, 0, 300, 1.0), ACCURACY, 0.01, WIDE),
        (answers(30, 0, 300, 1.0), ACCURACY, 0.01, DONT),
        (answers(30, 30, 300), ACCURACY, 0.01, WIDE),
        (answers(5, 100, 300), ACCURACY, 0.01, SHIP),
        (answers(300, 0, 300, 1.0), ACCURACY, 1.0, SHIP),
        (answers(0, 9, 300, 0.0), ACCURACY, 0.0, SHIP),  # nothing to lose
        (losses(0.004, 0.01), LIKELIHOOD, 0.01, SHIP),
        (losses(0.004, 0.5), LIKELIHOOD, 0.01, WIDE),
        (losses(0.1, 0.1), LIKELIHOOD, 0.01, DONT),
        (losses(-0.1, 0.1), LIKELIHOOD, 0.0, SHIP),
        (losses(0.0, 0.0, 29), LIKELIHOOD, 0.01, WIDE),  # too few texts for a bootstrap
        (losses(0.0, 0.0, 30), LIKELIHOOD, 0.01, SHIP),
        (losses(0.0, 0.0, 1), LIKELIHOOD, 0.01, WIDE),
        (answers(1, 0, 1, 1.0), ACCURACY, 0.01, WIDE),
    ],
)
def test_verdicts(result, axis, budget, verdict) -> None:
    assert loss(result, axis).verdict(budget) == verdict


def test_losses_are_relative_to_the_base() -> None:
    found = loss(answers(30, 0, 300, 0.5), ACCURACY)
    assert found.mean == pytest.approx(0.2) and 0.14 < found.low < 0.2 < found.high < 0.27
    assert loss(answers(30, 0, 300, 0.5), ACCURACY, relative=False).mean == pytest.approx(0.1)
    assert loss(losses(0.1, 0.1), LIKELIHOOD).mean == pytest.approx(0.05)
    assert loss(losses(0.0, 0.0, 1), LIKELIHOOD).high == math.inf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The record of four methods: one keeps all, one loses a lot, one something, one learns nothing."""
    record: dict[str, Any] = build()
    results = {
        "projection": {"proficiency": answers(0, 150, 300), "safety": answers(0, 0, 300, 1.0)},
        "full": {"proficiency": answers(0, 150, 300), "safety": answers(150, 0, 300, 1.0)},
        "soft": {"proficiency": answers(0, 150, 300), "safety": answers(3, 0, 300, 1.0)},
        "lora": {"proficiency": answers(60, 0, 300), "safety": answers(0, 0, 300, 1.0)},
    }
    record["axes"].pop("knowledge")
    record["matched"] = []
    for name, axes in results.items():
        record["methods"][name]["axes"] = to_json(axes)
    (tmp_path / "record.json").write_text(json.dumps(record))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--method", "projection"), 0, "projection: SHIP"),
        (("--method", "full"), 3, "full: DON'T SHIP"),
        (("--method", "soft"), 4, "soft: TOO WIDE TO SAY"),
        (("--method", "soft", "--budget", "0.05"), 0, "soft: SHIP"),
        (("--method", "lora"), 3, "[-24.1%, -16.5%], falls"),
        ((), 3, "safety 100.0% -> 50.0% (n = 300): loss 50.00% [45.27%, 54.73%], budget 1%: beyond"),
    ],
)
def test_the_exit_code_is_that_of_the_worst_verdict(folder, capsys, words, code, said) -> None:
    for place in (folder, folder / "record.json"):
        assert main(["gate", str(place), *words]) == code
        text = capsys.readouterr().out
        assert said in text, text


def test_few_texts_are_not_sure(folder, capsys) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["methods"]["projection"]["axes"]["safety"] = to_json(losses(0.0, 0.0, 2))
    (folder / "record.json").write_text(json.dumps(record))
    assert main(["gate", str(folder), "--method", "projection"]) == 4
    assert "(n = 2): unsure; an interval needs at least 30 test examples, measure more" in capsys.readouterr().out


def test_the_record_of_a_config_is_read_where_its_comparison_wrote_it(world, done, tmp_path, capsys) -> None:
    assert world.run("gate", done.out) == 4  # of a handful of examples
    said = capsys.readouterr().out
    assert said.count("proficiency") == 3 and ": nothing to lose" in said
    assert world.run("gate", tmp_path / "nothing") == 1
    assert "record.json: no such record; `jaxft compare CONFIG` writes it" in one_error(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "dora"), "--method: found 'dora', expected one of lora, full, projection, soft"),
        (("--budget", "-1"), "--budget: found -1.0, expected a number from 0 to below 1; 0.01 is 1 %"),
        (("--budget", "nan"), "--budget: found nan"),
        (("--budget", "1"), "--budget: found 1.0, expected a number from 0 to below 1; 0.01 is 1 %"),
        (("--budget", "inf"), "--budget: found inf"),
    ],
)
def test_mistakes(folder, capsys, words, message) -> None:
    assert main(["gate", str(folder), *words]) == 1
    assert message in one_error(capsys)


@pytest.mark.parametrize(("content", "message"), [("{}", "is no record"), ("[", "not a readable JSON file")])
def test_what_is_no_record_is_refused(tmp_path, capsys, content, message) -> None:
    (tmp_path / "record.json").write_text(content)
    assert main(["gate", str(tmp_path / "record.json")]) == 1
    assert message in one_error(capsys)

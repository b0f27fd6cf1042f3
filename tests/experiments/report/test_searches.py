"""The trials of `Auto` in text and on the page."""

from __future__ import annotations

import pytest

from experiments.report import markdown, table
from experiments.report.table import searches
from tests.experiments.report.builder import typed
from tests.experiments.report.chartless import drawn

TRIALS = [
    {"learning_rate": 1e-3, "kfac_strength": 10.0, "drift": 0.034, "proficiency": 0.9, "chosen": False},
    {"learning_rate": 1e-3, "kfac_strength": 42.5, "drift": 0.0087, "proficiency": 0.875, "chosen": True},
]


@pytest.fixture
def searched(record):
    found = {"budget": 0.01, "trials": TRIALS, "realised_drift": 0.0091, "kept": True}
    record["methods"]["projection"]["search"] = found
    return {**record, "matched": []}


def test_every_trial_is_a_row_and_the_chosen_one_is_marked(searched) -> None:
    ((sentence, grid),) = searches(typed(searched))
    assert sentence.startswith("projection: a budget of 1.00% was kept; the chosen one of 2 trials drifts 0.91%")
    assert grid.rows == (("0.001", "10", "3.40%", "90.0%", ""), ("0.001", "42.5", "0.87%", "87.5%", "chosen"))


def test_a_budget_that_was_not_kept_is_said(searched) -> None:
    searched["methods"]["projection"]["search"] |= {"realised_drift": 0.0123, "kept": False}
    ((sentence, _),) = searches(typed(searched))
    assert "was not kept" in sentence and "1.23%" in sentence


def test_it_is_told_wherever_the_result_is(searched) -> None:
    for text in (table(typed(searched)), markdown(typed(searched)), drawn(searched)):
        assert "a budget of 1.00% was kept" in " ".join(text.split()) and "42.5" in text


def test_what_was_not_searched_has_none(record) -> None:
    assert searches(typed(record)) == []

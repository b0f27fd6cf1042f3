"""Which results no other one beats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.report.pareto import dominated, front, path
from tests.experiments.report.builder import typed

POINTS = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=12)
SIGNS = st.tuples(st.sampled_from((1, -1)), st.sampled_from((1, -1)))


@given(POINTS, SIGNS)
def test_the_front_is_what_nobody_beats(points, signs) -> None:
    found = front(points, signs)

    def beats(a, b) -> bool:
        merits = [(s * x, s * y) for s, x, y in zip(signs, a, b, strict=True)]
        return all(x >= y for x, y in merits) and any(x > y for x, y in merits)

    assert set(found) == {p for p in points if not any(beats(q, p) for q in points)}
    assert len(found) == len(set(found))
    along = [(signs[0] * x, signs[1] * y) for x, y in found]
    assert along == sorted(along, key=lambda p: (-p[0], p[1]))  # x gets worse, y better


def test_a_method_is_dominated_on_all_axes_or_not_at_all(loss_record) -> None:
    loss_record["axes"]["proficiency"] |= {"higher_is_better": True}
    scores = {
        "best": {"proficiency": 0.9, "knowledge": 1.0},
        "same": {"proficiency": 0.9, "knowledge": 1.0},
        "worse": {"proficiency": 0.9, "knowledge": 1.1},
        "other": {"proficiency": 0.95, "knowledge": 2.0},
        "unknown": {"proficiency": 0.1},
        "diverged": {"proficiency": 0.1, "knowledge": math.nan},
        "unjudged": {"proficiency": 0.1, "knowledge": None},
    }
    like = loss_record["methods"]["lora"]
    methods = {
        name: {
            **like,
            "rates": [],
            "axes": {axis: {**like["axes"][axis], "after": after} for axis, after in its.items()},
        }
        for name, its in scores.items()
    }
    assert dominated(typed({**loss_record, "methods": methods, "matched": []})) == {"worse": "best"}


def test_a_path_has_every_learning_rate_that_has_scores(record) -> None:
    def found() -> list[tuple[float, float]]:
        return path(typed(record).methods["lora"], "safety")

    lora = record["methods"]["lora"]
    assert len(found()) == 3 and found()[-1] == pytest.approx((0.86, 0.105))
    lora["rates"][1]["test"]["safety"] = math.nan
    assert len(found()) == 2
    lora["rates"] = []
    assert found() == [(0.86, 0.105)]

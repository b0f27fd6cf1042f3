"""Which results no other one beats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.report.pareto import dominated, front, path

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


def result(**scores: float | None) -> dict:
    return {"axes": {name: {"after": value} for name, value in scores.items()}, "sweep": []}


def test_a_method_is_dominated_on_all_axes_or_not_at_all() -> None:
    axes = {"proficiency": {"higher_is_better": True}, "loss": {"higher_is_better": False}}
    methods = {
        "best": result(proficiency=0.9, loss=1.0),
        "same": result(proficiency=0.9, loss=1.0),
        "worse": result(proficiency=0.9, loss=1.1),
        "other": result(proficiency=0.95, loss=2.0),
        "unknown": result(proficiency=0.1),
        "diverged": result(proficiency=0.1, loss=math.nan),
        "unjudged": result(proficiency=0.1, loss=None),
    }
    assert dominated({"axes": axes, "methods": methods}) == {"worse": "best"}


def test_a_path_has_every_learning_rate_that_has_scores(record) -> None:
    lora = record["methods"]["lora"]
    assert len(path(lora, "safety")) == 3 and path(lora, "safety")[-1] == pytest.approx((0.86, 0.105))
    lora["sweep"][1]["test"]["safety"] = math.nan
    assert len(path(lora, "safety")) == 2
    assert path({**lora, "sweep": []}, "safety") == [(0.86, 0.105)]

"""Forgetting read off at one level of proficiency."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.evaluation.matched import change_at, matched
from experiments.evaluation.statistics import compare
from experiments.store.record import AxisDescription
from experiments.store.record.method import NOT_TIMED, MethodResult, Rate


@pytest.mark.parametrize(
    ("level", "proficiency", "change", "expected"),
    [
        (1.5, [2.0, 1.0], [0.0, 1.0], 0.5),
        (1.25, [2.0, 1.0], [0.0, 1.0], 0.75),
        (0.25, [0.0, 1.0], [0.0, -4.0], -1.0),
        (1.0, [2.0, 1.0], [0.0, 1.0], 1.0),  # met exactly
        (2.0, [2.0, 1.0], [0.3, 1.0], 0.3),
        (0.9, [2.0, 1.0], [0.0, 1.0], None),  # never reached
        (2.1, [2.0, 1.0], [0.0, 1.0], None),
        (1.5, [2.0, 1.0, 2.0], [0.0, 1.0, 9.0], 0.5),  # the first crossing counts
        (1.5, [1.5], [0.7], 0.7),
        (1.0, [], [], None),
    ],
)
def test_change_at(level, proficiency, change, expected) -> None:
    assert change_at(level, proficiency, change) == (expected if expected is None else pytest.approx(expected))


Scores = list[tuple[float, float | None]]


def axes(*, higher: bool) -> dict[str, AxisDescription]:
    described = {"task": "hotel", "metric": "loss", "unit": "nat/token", "examples": 3}
    return {
        "proficiency": AxisDescription(**described, higher_is_better=higher),
        "knowledge": AxisDescription(**described, higher_is_better=False),
    }


def method(kind: str, points: Scores, before: float = 5.0) -> MethodResult:
    """A method whose learning rates reached these (proficiency, knowledge) on test data."""
    scores = [{"proficiency": proficiency, "knowledge": knowledge} for proficiency, knowledge in points]
    return MethodResult(
        kind=kind,
        learning_rate=1.0,
        axes={"knowledge": compare(np.array([before]), np.array([[before]]), np.ones(1), False)},
        rates=tuple(Rate(learning_rate=1.0, validation={}, test=one, delta_norm=1.0, chosen=False) for one in scores),
        delta_norm=1.0,
        certificate=None,
        timings=NOT_TIMED,
        trained_parameters=1,
    )


def methods(*, higher: bool = True) -> dict[str, MethodResult]:
    sign = 1 if higher else -1
    return {
        "lora": method("lora", [(sign * 1.0, 6.0), (sign * 3.0, 9.0), (sign * 2.0, 20.0)]),
        "ours": method("gradient_projection", [(sign * 2.0, 5.5), (sign * 4.0, 6.5)]),
        "slow": method("full", [(sign * 0.5, 5.0)]),
        "unswept": method("full", []),
    }


@pytest.mark.parametrize("higher", [True, False])
def test_the_level_is_the_best_of_lora(higher) -> None:
    (found,) = matched(methods(higher=higher), axes(higher=higher))
    assert found.proficiency == (3.0 if higher else -3.0) and not found.given
    assert found.changes == {"lora": {"knowledge": 4.0}, "ours": {"knowledge": 1.0}, "slow": {"knowledge": None}}


def test_levels_of_the_config_take_its_place() -> None:
    without = methods()
    del without["lora"]
    found = matched(without, axes(higher=True), (3.0, 9.0))
    assert [level.proficiency for level in found] == [3.0, 9.0] and all(level.given for level in found)
    assert [level.changes["ours"]["knowledge"] for level in found] == [1.0, None]


def test_without_a_swept_lora_there_is_no_level() -> None:
    assert matched({**methods(), "lora": method("lora", [])}, axes(higher=True)) == ()


def test_a_rate_without_a_score_is_left_out() -> None:
    swept = {"ours": method("gradient_projection", [(2.0, 5.5), (2.5, None), (4.0, 6.5)])}
    (found,) = matched(swept, axes(higher=True), (3.0,))
    assert found.changes == {"ours": {"knowledge": 1.0}}

"""Forgetting read off at one level of proficiency."""

from __future__ import annotations

import pytest

from experiments.evaluation.matched import change_at, matched


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


def record(*, higher: bool) -> dict:
    def method(kind, points, before=5.0):
        return {
            "kind": kind,
            "axes": {"knowledge": {"before": before}},
            "sweep": [{"test": {"proficiency": p, "knowledge": k}} for p, k in points],
        }

    sign = 1 if higher else -1
    return {
        "axes": {"proficiency": {"higher_is_better": higher}, "knowledge": {}},
        "methods": {
            "lora": method("lora", [(sign * 1.0, 6.0), (sign * 3.0, 9.0), (sign * 2.0, 20.0)]),
            "ours": method("gradient_projection", [(sign * 2.0, 5.5), (sign * 4.0, 6.5)]),
            "slow": method("full", [(sign * 0.5, 5.0)]),
            "unswept": {"kind": "full", "axes": {}, "sweep": []},
        },
    }


@pytest.mark.parametrize("higher", [True, False])
def test_the_level_is_the_best_of_lora(higher) -> None:
    (found,) = matched(record(higher=higher))
    assert found["proficiency"] == (3.0 if higher else -3.0) and not found["given"]
    assert found["changes"] == {"lora": {"knowledge": 4.0}, "ours": {"knowledge": 1.0}, "slow": {"knowledge": None}}


def test_levels_of_the_config_take_its_place() -> None:
    without = record(higher=True)
    del without["methods"]["lora"]
    found = matched(without, (3.0, 9.0))
    assert [level["proficiency"] for level in found] == [3.0, 9.0] and all(level["given"] for level in found)
    assert [level["changes"]["ours"]["knowledge"] for level in found] == [1.0, None]


def test_without_a_swept_lora_there_is_no_level() -> None:
    without = record(higher=True)
    without["methods"]["lora"]["sweep"] = []
    assert matched(without) == []

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evaluation.judges import Verdict
from experiments.evaluation.judges.agreement import Pair, kappa, kappa_interval, measure

TABLES = st.lists(st.integers(0, 30), min_size=4, max_size=4).filter(any).map(lambda n: np.array(n).reshape(2, 2))


def pair(good: bool, judged: bool | None, words: int = 3) -> Pair:
    labels = {True: "correct", False: "wrong", None: ""}
    return Pair("word " * words, labels[good], good, Verdict(judged, labels[judged], ""))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[20, 5], [10, 15]], 0.4),
        ([[10, 0], [0, 10]], 1.0),
        ([[0, 10], [10, 0]], -1.0),
        ([[6, 4], [12, 8]], 0.0),
        ([[7, 0], [0, 0]], None),
    ],
)
def test_kappa(table: list[list[int]], expected: float | None) -> None:
    assert kappa(np.array(table)) == (None if expected is None else pytest.approx(expected))


@settings(max_examples=40)
@given(TABLES)
def test_kappa_treats_both_sides_and_both_answers_alike(table: np.ndarray) -> None:
    found = kappa(table)
    assert kappa(table.T) == kappa(table[::-1, ::-1]) == (None if found is None else pytest.approx(found))
    assert found is None or -1 <= found <= 1 + 1e-12


def test_the_interval_is_that_of_resampled_replies() -> None:
    table = np.array([[20, 5], [10, 15]])
    low, high = kappa_interval(table, seed=0) or (0, 0)
    assert low < 0.4 < high
    sides = np.repeat([(0, 0), (0, 1), (1, 0), (1, 1)], table.ravel(), axis=0)
    rng = np.random.default_rng(1)
    kappas = []
    for _ in range(1000):
        ours, theirs = sides[rng.integers(len(sides), size=len(sides))].T
        kappas.append(kappa(np.histogram2d(ours, theirs, bins=2, range=[[0, 1], [0, 1]])[0].astype(int)))
    assert [low, high] == pytest.approx(np.quantile(kappas, [0.025, 0.975]), abs=0.03)
    assert kappa_interval(table, seed=0) == [low, high]
    assert kappa_interval(np.array([[7, 0], [0, 0]]), seed=0) is None
    assert kappa_interval(table * 100, seed=0) == pytest.approx([0.4, 0.4], abs=0.05)


def test_unjudged_replies_count_neither_way() -> None:
    some = [pair(True, True), pair(False, False), pair(True, False)]
    found, with_unjudged = measure(some), measure([*some, pair(True, None), pair(False, None)])
    assert with_unjudged == {**found, "replies": 5, "unjudged": 2}
    assert found["agreement"] == found["label_agreement"] == pytest.approx(2 / 3)
    assert found["confusion"] == {"correct": {"correct": 1, "wrong": 1}, "wrong": {"wrong": 1}}


def test_a_judge_that_likes_long_replies_is_found_out() -> None:
    pairs = [pair(words % 2 == 0, words > 30, words) for words in range(1, 61)]
    length = measure(pairs)["length"]
    assert length["difference"] == pytest.approx(45.5 - 31)
    assert [third["longest"] for third in length["thirds"]] == [20, 40, 60]
    fair = [pair(words % 2 == 0, words % 2 == 0, words) for words in range(1, 61)]
    length = measure(fair)["length"]
    assert length["difference"] == 0 and [third["kappa"] for third in length["thirds"]] == [1, 1, 1]


def test_few_replies_are_measured_too() -> None:
    found = measure([pair(False, False)])
    assert (found["agreement"], found["kappa"], found["length"]["difference"]) == (1, None, None)

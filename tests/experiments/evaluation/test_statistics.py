"""Intervals, paired tests and flips on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from experiments.evaluation.statistics import compare, holm, interval, lost_interval, weighted_mean


def binary(n: int, right: int) -> np.ndarray:
    return np.array([1.0] * right + [0.0] * (n - right))


def test_weighted_mean_is_the_mean_over_tokens() -> None:
    assert weighted_mean(np.array([1.0, 4.0]), np.array([3.0, 1.0])) == pytest.approx(1.75)


def test_interval_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    low, high = interval(values, np.ones(400), seed=0)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).normal(0.0, 1.0, (200, 80))
    ends = [interval(draw, np.ones(80), seed=0, resamples=300, level=0.9) for draw in draws]
    assert 0.84 <= np.mean([low <= 0 <= high for low, high in ends]) <= 0.95


def test_interval_averages_seeds_before_it_resamples_examples() -> None:
    values = np.random.default_rng(2).normal(size=(3, 50))
    weights = np.ones(50)
    assert interval(values, weights, seed=5) == interval(values.mean(0), weights, seed=5)


def test_interval_follows_the_weights() -> None:
    values, weights = np.array([0.0] * 50 + [1.0] * 50), np.array([1.0] * 50 + [9.0] * 50)
    low, high = interval(values, weights, seed=0)
    assert 0.8 < low < 0.9 < high < 0.95


def test_interval_is_deterministic_by_seed() -> None:
    values, weights = np.random.default_rng(3).normal(size=40), np.ones(40)
    assert interval(values, weights, seed=1) == interval(values, weights, seed=1)
    assert interval(values, weights, seed=1) != interval(values, weights, seed=2)


def test_interval_without_spread_has_no_width() -> None:
    assert interval(np.array([0.25]), np.array([3.0]), seed=0) == (0.25, 0.25)
    assert interval(np.ones(9), np.ones(9), seed=0) == (1.0, 1.0)


def test_one_seed_of_binary_scores_is_mcnemar() -> None:
    before, after = binary(20, 12), np.roll(binary(20, 12), 3)
    after[:3] = 0.0
    found = compare(before, after[None], np.ones(20), True)
    assert (found.negative_flips, found.positive_flips) == (3.0, 3.0)
    assert found.p_value == 1.0
    found = compare(binary(20, 12), binary(20, 4)[None], np.ones(20), True)
    assert (found.negative_flips, found.positive_flips) == (8.0, 0.0)
    assert found.p_value == pytest.approx(2 * 0.5**8)


def test_flips_are_a_mean_over_seeds() -> None:
    before = binary(10, 5)
    found = compare(before, np.stack([binary(10, 3), binary(10, 6)]), np.ones(10), True)
    assert (found.negative_flips, found.positive_flips) == (1.0, 0.5)


def test_few_differences_are_tested_exactly() -> None:
    """All six signs agree: two of the 2^6 sign patterns are as extreme."""
    found = compare(np.zeros(6), np.arange(1.0, 7.0)[None], np.ones(6), False)
    assert found.p_value == pytest.approx(2 / 64)


def test_one_example_has_scores_and_no_evidence() -> None:
    found = compare(np.array([2.0]), np.array([[3.0]]), np.array([5.0]), binary=False)
    assert (found.before, found.change, found.change_interval, found.p_value) == (2.0, 1.0, (1.0, 1.0), 1.0)


def test_the_permutation_test_agrees_with_the_t_test() -> None:
    before, noise = np.random.default_rng(4).normal(size=(2, 200))
    after = before + 0.15 + noise
    expected = stats.ttest_rel(before, after).pvalue
    found = compare(before, after[None], np.ones(200), False).p_value
    assert found == pytest.approx(expected, rel=0.25)


def test_the_p_value_is_uniform_when_nothing_changed() -> None:
    draws = np.random.default_rng(5).normal(size=(120, 10))
    found = [compare(np.zeros(10), draw[None], np.ones(10), False).p_value for draw in draws]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_loss_means_are_weighted_and_have_no_flips() -> None:
    found = compare(np.array([1.0, 2.0]), np.array([[2.0, 2.0], [4.0, 2.0]]), np.array([3.0, 1.0]), False)
    assert (found.before, found.after) == (1.25, 2.75)
    assert found.change == pytest.approx(1.5)
    assert found.relative_change == pytest.approx(1.2)
    assert found.negative_flips is None and found.positive_flips is None
    assert found.examples == 2


def test_no_relative_change_from_zero() -> None:
    found = compare(np.zeros(4), np.array([[1.0, 0.0, 0.0, 0.0]]), np.ones(4), True)
    assert found.relative_change is None and found.change == 0.25


def test_nothing_changed() -> None:
    for scores, kind in ((binary(8, 3), True), (np.linspace(1, 2, 8), False)):
        found = compare(scores, np.stack([scores, scores]), np.ones(8), kind)
        assert (found.change, found.change_interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(2, 30), st.integers(0, 1000), st.booleans())
def test_what_always_holds(seeds: int, n: int, seed: int, kind: bool) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.random(n), rng.random((seeds, n))
    if kind:
        before, after = np.round(before), np.round(after)
    weights = np.ones(n) if kind else rng.integers(1, 50, n).astype(float)
    found = compare(before, after, weights, kind)
    assert found.change == pytest.approx(found.after - found.before)
    for key in ("before", "after", "change"):
        low, high = getattr(found, f"{key}_interval")
        assert low <= high
    assert 0 < found.p_value <= 1
    if kind:
        assert (found.positive_flips - found.negative_flips) / n == pytest.approx(found.change)
    assert found == compare(before, after, weights, kind)


@pytest.mark.parametrize(
    ("before", "after", "weights", "kind", "words"),
    [
        (np.ones(3), np.ones(3), np.ones(3), False, r"after \[seeds, n\]"),
        (np.ones(3), np.ones((1, 4)), np.ones(3), False, r"found \(3,\) and \(1, 4\)"),
        (np.ones(3), np.ones((1, 3)), np.ones(4), False, r"weights \[n\]"),
        (np.ones(0), np.ones((1, 0)), np.ones(0), False, "n > 0"),
        (np.ones(3), np.full((1, 3), np.nan), np.ones(3), False, "finite"),
        (np.ones(3), np.ones((1, 3)), np.array([1.0, 1.0, 0.0]), False, "positive"),
        (np.ones(3), np.full((1, 3), 0.5), np.ones(3), True, "0 or 1"),
    ],
)
def test_bad_input_is_named(before, after, weights, kind, words) -> None:
    with pytest.raises(ValueError, match=words):
        compare(before, after, weights, kind)


def test_holm_on_the_example_worked_by_hand() -> None:
    """Sorted .01 .02 .03 .04 times 4 3 2 1 gives .04 .06 .06 .04, which may not fall: .04 .06 .06 .06."""
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    assert holm([0.4, 0.9]) == [0.8, 0.9] and holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_its_step_down_rule_rejects(p_values: list[float], alpha: float) -> None:
    rejected: set[int] = set()
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if (len(p_values) - rank) * p_values[index] > alpha:
            break
        rejected.add(index)
    corrected = holm(p_values)
    assert {i for i, p in enumerate(corrected) if p <= alpha} == rejected
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))


@pytest.mark.parametrize(("lost", "won", "n"), [(12, 2, 50), (5, 9, 40), (1, 0, 300), (0, 7, 300), (1.5, 3.5, 80)])
def test_the_score_interval_of_lost_answers_is_that_of_the_constrained_likelihood(lost, won, n) -> None:
    """Tango's closed form against a search for the most likely rate of won answers under each loss."""

    def statistic(fall: float) -> float:
        least, most = max(0.0, -fall) + 1e-12, (1 - fall) / 2 - 1e-12

        def unlikely(rate: float) -> float:
            rest = (n - lost - won) * np.log(1 - 2 * rate - fall)
            return -(lost * np.log(rate + fall) + won * np.log(rate) + rest)

        rate = optimize.minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
        return (lost - won - n * fall) / np.sqrt(n * (2 * rate + fall - fall**2))

    low, high = lost_interval(lost, won, n, level=0.95)
    assert statistic(low) == pytest.approx(1.96, abs=1e-3) and statistic(high) == pytest.approx(-1.96, abs=1e-3)
    assert low < (lost - won) / n < high


@pytest.mark.parametrize("n", [20, 300, 3000])
def test_answers_that_did_not_change_still_have_an_interval(n) -> None:
    z = stats.norm.ppf(0.95)
    assert lost_interval(0, 0, n) == pytest.approx((-z * z / (n + z * z), z * z / (n + z * z)), abs=1e-8)
    assert lost_interval(n, 0, n)[1] == 1.0 and lost_interval(0, n, n)[0] == -1.0

"""Scores before and after on the same examples: bootstrap intervals, paired tests, and counts of flipped answers."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from experiments.store.record.method import AxisResult

SIGN_FLIPS = 9999


def weighted_mean(
    values: Float[np.ndarray, "*batch n"], weights: Float[np.ndarray, "*batch n"], axis: int = -1
) -> Float[np.ndarray, "*batch"]:
    """sum(w v) / sum(w) along `axis`. Token counts as weights of values in nat/token give the mean over tokens."""
    return np.sum(values * weights, axis=axis) / np.sum(weights, axis=axis)


def interval(
    values: Float[np.ndarray, "*seeds n"],
    weights: Float[np.ndarray, " n"],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap percentile interval of the weighted mean over examples, in the unit of `values`.

    values: [n], or [seeds, n] for several training runs on the same examples. Runs are averaged per example first; then
    examples are resampled with their weights. The interval therefore shows the uncertainty from the choice of examples,
    not of training seeds. Its width is 0 if all examples score the same, or there is only one: resampling cannot show
    other scores. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    values, weights = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    _check(values, weights)
    means = values if values.ndim == 1 else values.mean(axis=0)
    if means.size == 1:
        return float(means[0]), float(means[0])
    low, high = stats.bootstrap(
        (means, weights),
        weighted_mean,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, 1_000_000 // means.size),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(low), float(high)


def lost_interval(lost: float, won: float, examples: int, *, level: float = 0.9) -> tuple[float, float]:
    """Score interval of the fall of an accuracy, from paired answers: (lost - won) / examples, in fractions.

    lost, won: answers that became wrong, and right; means over seeds may be given. Each end alone holds with the
    confidence (1 + level) / 2. Unlike a bootstrap, it has a width if no answer changed: z^2 / (n + z^2) on both sides.
    Source: Tango 1998, Statistics in Medicine 17, 891-908, eq. 8 and 9.
    """
    return -_most_lost(won, lost, examples, level), _most_lost(lost, won, examples, level)


def _most_lost(lost: float, won: float, n: int, level: float) -> float:
    """The upper end of `lost_interval`."""
    z, found = stats.norm.ppf((1 + level) / 2), (lost - won) / n

    def excess(fall: float) -> float:
        """Positive if a true fall this large is rejected. changed: the estimated rate of won answers under it."""
        b, c = (2 * n - lost + won) * fall - lost - won, -won * fall * (1 - fall)
        changed = (np.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        return (n * (fall - found)) ** 2 - z * z * n * (2 * changed + fall * (1 - fall))

    start = found + 1e-9
    return float(optimize.root_scalar(excess, bracket=(start, 1.0)).root) if start < 1 and excess(start) < 0 else found


def compare(
    before: Float[np.ndarray, " n"],
    after: Float[np.ndarray, "seeds n"],
    weights: Float[np.ndarray, " n"],
    binary: bool,
    *,
    seed: int = 0,
) -> AxisResult:
    """Result of one method on one axis, without its seeds: scores, change, intervals, p-value and flips.

    before: score of each example under the base model; after: the same under each training seed; weights: positive, one
    per example. binary: the scores are 0 or 1. Means are weighted. Means, change and intervals (95 %) have the unit of
    the scores. relative_change: change / |before|, None if before is 0.

    p_value: two-sided, not corrected for the number of comparisons. With binary scores, equal weights and one seed it
    is from the exact McNemar test (McNemar 1947). Else it is from the sign-flip permutation test on the weighted
    differences after - before, averaged over seeds: exact for few examples, else with 9999 random flips, so never below
    2e-4. The same inputs and `seed` give the same numbers.

    negative_flips: examples that were right and became wrong; positive_flips: the opposite. Both are means over seeds,
    None unless binary. ValueError for shapes that do not match, and for values that are not finite or not binary.
    """
    before, after, weights = (np.asarray(array, np.float64) for array in (before, after, weights))
    if after.ndim != 2 or before.shape != after.shape[1:]:
        raise ValueError(f"before must be [n] and after [seeds, n]; found {before.shape} and {after.shape}")
    _check(after, weights)
    _check(before, weights)
    if binary and not np.isin(np.vstack([before[None], after]), (0.0, 1.0)).all():
        raise ValueError("binary scores must all be 0 or 1")
    differences = after - before
    first = float(weighted_mean(before, weights))
    change = float(weighted_mean(differences.mean(axis=0), weights))
    negative, positive = (float((differences * sign > 0).sum(axis=1).mean()) for sign in (-1, 1))
    if binary and len(after) == 1 and np.ptp(weights) == 0:
        p_value = _mcnemar(int(negative), int(positive))
    else:
        p_value = _sign_flip(differences.mean(axis=0) * weights, seed)
    return AxisResult(
        before=first,
        after=float(weighted_mean(after.mean(axis=0), weights)),
        change=change,
        relative_change=change / abs(first) if first else None,
        before_interval=interval(before, weights, seed=seed),
        after_interval=interval(after, weights, seed=seed),
        change_interval=interval(differences, weights, seed=seed),
        p_value=p_value,
        negative_flips=negative if binary else None,
        positive_flips=positive if binary else None,
        examples=before.size,
        seeds=(),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the order given: Holm's step-down procedure (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, raised to the previous result if that is larger, and capped at 1.
    Rejecting at results of at most alpha bounds the probability of any false rejection by alpha, under any dependence.
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = least
    return corrected


def _mcnemar(negative: int, positive: int) -> float:
    """p-value of the exact two-sided McNemar test that flips in both directions are equally likely."""
    if negative + positive == 0:
        return 1.0
    return float(stats.binomtest(negative, negative + positive, 0.5).pvalue)


def _sign_flip(differences: Float[np.ndarray, " n"], seed: int) -> float:
    """p-value of the two-sided sign-flip permutation test that the differences are symmetric about 0."""
    if differences.size == 1 or not differences.any():  # of one example, both signs are equally extreme
        return 1.0
    result = stats.permutation_test(
        (differences,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=SIGN_FLIPS,
        batch=max(1, 1_000_000 // differences.size),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _check(values: np.ndarray, weights: np.ndarray) -> None:
    if values.ndim not in (1, 2) or values.size == 0 or weights.shape != values.shape[-1:]:
        raise ValueError(
            f"values must be [n] or [seeds, n] and weights [n], n > 0; found {values.shape} and {weights.shape}"
        )
    if not (np.isfinite(values).all() and np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("values must be finite, and weights finite and positive")

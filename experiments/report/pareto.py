"""The Pareto front over learning rates, and the methods that another one dominates."""

import math
from collections.abc import Iterable, Sequence

from experiments.report.reading import TARGET, Compared, after_scores
from experiments.store.record.method import MethodResult

DOMINATED = " *"
NOTE = "* dominated: another method is at least as good on every axis and better on one."


def dominated(record: Compared) -> dict[str, str]:
    """Dominated method -> a method whose mean over seeds is at least as good on every axis and better on one.

    Methods without a score on every axis are not compared."""
    signs = [1 if axis.higher_is_better else -1 for axis in record.axes.values()]
    merits = {}
    for name, method in record.methods.items():
        scores = [after_scores(method).get(axis) for axis in record.axes]
        known = [sign * score for sign, score in zip(signs, scores, strict=True) if score is not None]
        if len(known) == len(signs) and all(map(math.isfinite, known)):
            merits[name] = known
    return {name: by for name, its in merits.items() if (by := _better(its, merits.items())) is not None}


def _better(its: Sequence[float], others: Iterable[tuple[str, Sequence[float]]]) -> str | None:
    for name, theirs in others:
        pairs = list(zip(theirs, its, strict=True))
        if all(a >= b for a, b in pairs) and any(a > b for a, b in pairs):
            return name
    return None


def path(method: MethodResult, axis_name: str) -> list[tuple[float, float]]:
    """(proficiency, score) on test data by ascending learning rate; the result alone if no other rate was tried.

    Diverged runs, which have no score, are left out.
    """
    tried = [rate.test for rate in method.rates] or [after_scores(method)]
    found = [(scores.get(TARGET), scores.get(axis_name)) for scores in tried]
    return [(x, y) for x, y in found if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)]


def front(points: Iterable[tuple[float, float]], signs: tuple[int, int]) -> list[tuple[float, float]]:
    """The points that no other beats in both x and y, from best x to best y. signs: 1 if more is better, else -1."""
    best, kept = -math.inf, []
    for point in sorted(set(points), key=lambda p: (signs[0] * p[0], signs[1] * p[1]), reverse=True):
        if signs[1] * point[1] > best:
            best = signs[1] * point[1]
            kept.append(point)
    return kept

"""Scores of the examples of an axis, and their cache on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.store.cache import cached
from jaxft.errors import UserError
from jaxft.io import read_json, write_json


@dataclass(frozen=True)
class Scores:
    """Scores of one model on the n examples of one axis.

    values: [n], 1 right, 0 wrong, a degree in [0, 1], or nat/token; NaN without a verdict (neither right nor wrong).
    weights: [n], numbers of tokens for a likelihood, else 1. replies: generated or chosen texts, or (). labels: one
    per reply, from the task's rule or the judge, or (). complete: False if a server did not give all replies or
    verdicts; another call may get the rest.
    """

    values: np.ndarray
    weights: np.ndarray
    replies: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    complete: bool = True

    @property
    def judged(self) -> np.ndarray:
        """True for each example that has a score, [n]."""
        return np.isfinite(self.values)

    @property
    def mean(self) -> float:
        """Weighted mean over the examples that have a score; NaN if none has."""
        kept = self.judged
        if not kept.any():
            return float("nan")
        return float((self.values * self.weights)[kept].sum() / self.weights[kept].sum())


def means(scores: Mapping[str, Scores]) -> dict[str, float | None]:
    """The mean of every axis; None for an axis without any verdict."""
    return {name: found.mean if found.judged.any() else None for name, found in scores.items()}


def cached_scores(path: Path, compute: Callable[[], dict[str, Scores]]) -> dict[str, Scores]:
    """Scores from `path`, else from `compute`, written to `path` if complete; UserError if the file holds no scores."""
    computed: list[dict[str, Scores]] = []

    def make(scratch: Path) -> None:
        scores = compute()
        computed.append(scores)
        if all(axis.complete for axis in scores.values()):
            write_json(scratch, _to_json(scores))

    cached(path.parent, None, make, path.name)
    if computed:
        return computed[0]
    try:
        return {name: _read(axis) for name, axis in read_json(path).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not scores as jaxft writes them ({error!r}); delete it to measure anew") from error


def _read(axis: Mapping[str, Any]) -> Scores:
    """The scores of an axis from JSON; ValueError if its lists have different lengths."""
    values = np.array([np.nan if value is None else value for value in axis["values"]], float)
    weights, replies, labels = np.array(axis["weights"], float), tuple(axis["replies"]), tuple(axis["labels"])
    if len(weights) != len(values) or any(texts and len(texts) != len(values) for texts in (replies, labels)):
        raise ValueError(f"{len(values)} values, {len(weights)} weights, {len(replies)} replies, {len(labels)} labels")
    return Scores(values, weights, replies, labels)


def _to_json(scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {
        name: {
            "mean": average,
            "values": [value if known else None for value, known in zip(s.values.tolist(), s.judged, strict=True)],
            "weights": s.weights.tolist(),
            "replies": s.replies,
            "labels": s.labels,
        }
        for (name, s), average in zip(scores.items(), means(scores).values(), strict=True)
    }

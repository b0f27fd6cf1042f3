"""Scores of the examples of an axis, and their cache on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.store.provenance import read_json, write_json
from jaxft.distributed import agreed


@dataclass(frozen=True)
class Scores:
    """Scores of one model on the n examples of one axis.

    values: [n], 1 right, 0 wrong, a degree in [0, 1] or nat/token; nan without a verdict, which counts as neither.
    weights: [n], the tokens of a likelihood, else 1. replies: generated or chosen, else (). labels: what each reply
    does, by the task's rule or the judge, else (). complete: False if a server left replies or verdicts open, which
    another call may get.
    """

    values: np.ndarray
    weights: np.ndarray
    replies: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    complete: bool = True

    @property
    def judged(self) -> np.ndarray:
        """Which examples have a score, [n] bool."""
        return np.isfinite(self.values)

    @property
    def mean(self) -> float:
        """Weighted mean over the examples that have a score; nan if none has."""
        kept = self.judged
        if not kept.any():
            return float("nan")
        return float((self.values * self.weights)[kept].sum() / self.weights[kept].sum())


def means(scores: Mapping[str, Scores]) -> dict[str, float | None]:
    """The mean of every axis; None for an axis without any verdict."""
    return {name: found.mean if found.judged.any() else None for name, found in scores.items()}


def cached_scores(path: Path, compute: Any) -> dict[str, Scores]:
    """Scores from `path`; else computed, and written there if they are complete."""
    if agreed(path.is_file()):
        return {
            name: Scores(
                np.array([np.nan if value is None else value for value in axis["values"]]),
                np.array(axis["weights"]),
                tuple(axis["replies"]),
                tuple(axis["labels"]),
            )
            for name, axis in read_json(path).items()
        }
    scores: dict[str, Scores] = compute()
    if not all(axis.complete for axis in scores.values()):
        return scores
    write_json(
        path,
        {
            name: {
                "mean": average,
                "values": [value if known else None for value, known in zip(s.values.tolist(), s.judged, strict=True)],
                "weights": s.weights.tolist(),
                "replies": s.replies,
                "labels": s.labels,
            }
            for (name, s), average in zip(scores.items(), means(scores).values(), strict=True)
        },
    )
    return scores

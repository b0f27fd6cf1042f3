"""Scores of every axis on disk: computed once, read back afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.evaluation.evaluate import Scores
from experiments.store.provenance import read_json, write_json
from jaxft.distributed import agreed


def means(scores: Mapping[str, Scores]) -> dict[str, float | None]:
    """The mean of every axis; None where a judge gave no verdict."""
    return {name: found.mean if found.judged.any() else None for name, found in scores.items()}


def cached_scores(path: Path, compute: Any) -> dict[str, Scores]:
    """Scores from `path`, or computed and, where another call could not complete them, written there."""
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

"""Hotel dialogues of Schema-Guided Dialogue (Rastogi et al. 2020) as plain text, read straight from the archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.data.builders.schema_guided import hotel_dialogues
from jaxft.data.example import Example
from jaxft.errors import UserError

SPLITS = ("train", "validation", "test")
_SPEAKERS = {"USER": "Customer", "SYSTEM": "Agent"}


def examples(path: str | Path, split: str) -> list[Example]:
    """The dialogues of a split, one plain-text example each, in the form of `experiments/data/builders/star_text.py`.

    Splits are by dialogue, those of the dataset "sgd_steps": the published train set, and the published dev set halved
    into validation and test. Raises UserError for a missing, unreadable or malformed archive.
    """
    if split not in SPLITS:
        raise UserError(f"SGD has no split {split!r}; it has {', '.join(SPLITS)}.")
    return [_example(dialogue, Path(path)) for dialogue in hotel_dialogues(Path(path))[split]]


def _example(dialogue: Mapping[str, Any], path: Path) -> Example:
    try:
        lines = [f"{_SPEAKERS[turn['speaker']]}: {' '.join(turn['utterance'].split())}" for turn in dialogue["turns"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: dialogue {dialogue['dialogue_id']!r} has not the layout of Schema-Guided Dialogue "
            f"({type(error).__name__}: {error})."
        ) from error
    return Example((), "\n".join(lines), {"dialogue": str(dialogue["dialogue_id"])})

"""TinyStories (Eldan & Li 2023, arXiv:2305.07759): the text that the small story model should not forget."""

from __future__ import annotations

from pathlib import Path

from jaxft.data import readers
from jaxft.data.example import Example
from jaxft.errors import UserError

SPLITS = ("reference", "test")
_REFERENCE = 600  # stories


def examples(path: str | Path, split: str) -> list[Example]:
    """Stories as plain text, unchanged, from JSON lines {"text"}: "reference" is the first 600, "test" all others.

    There is no validation split: nothing is selected on stories. Raises UserError for an unknown split or a bad file.
    """
    if split not in SPLITS:
        raise UserError(f"TinyStories has no split {split!r}; it has {' and '.join(SPLITS)}.")
    stories = readers.examples(path)
    if len(stories) <= _REFERENCE:
        raise UserError(
            f"{path} holds {len(stories)} stories; expected more than the {_REFERENCE} of the reference split."
        )
    return stories[:_REFERENCE] if split == "reference" else stories[_REFERENCE:]

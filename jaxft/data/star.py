"""STAR hotel dialogues (RasaHQ/STAR) as plain text for language modelling, read straight from the archive."""

from __future__ import annotations

import json
import random
import re
import tarfile
from pathlib import Path
from typing import Any

from jaxft.data.example import Example
from jaxft.errors import UserError

SPLITS = ("train", "validation", "test")
_DIALOGUE = re.compile(r"(?:.*/)?dialogues/(\d+)\.json")
_SPEAKERS = {"User": "Customer", "Wizard": "Agent"}


def examples(path: str | Path, split: str) -> list[Example]:
    """The dialogues of a split, one plain-text example each: lines "Customer: ..." and "Agent: ..." in order of events.

    The text is what a customer sees: utterances and the replies that the agent picked, not look-ups or instructions.
    Whitespace inside an utterance becomes one space; dialogues in which nobody speaks are left out. Splits are by
    dialogue: 80 % train, 10 % validation, 10 % test, fixed. Raises UserError for a missing, unreadable or malformed
    archive.
    """
    if split not in SPLITS:
        raise UserError(f"STAR has no split {split!r}; it has {', '.join(SPLITS)}.")
    dialogues = _dialogues(Path(path))
    order = sorted(dialogues)
    random.Random(0).shuffle(order)
    first, second = len(order) * 8 // 10, len(order) * 9 // 10
    chosen = {"train": order[:first], "validation": order[first:second], "test": order[second:]}[split]
    return [Example((), dialogues[number], {"dialogue": str(number)}) for number in chosen]


def _dialogues(path: Path) -> dict[int, str]:
    """The text of each dialogue by its number."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected the archive star_hotel.tar.gz of STAR dialogues.")
    texts = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                match = _DIALOGUE.fullmatch(member.name)
                stream = archive.extractfile(member) if match else None
                if match and stream:
                    texts[int(match[1])] = _text(stream.read(), f"{path}: {member.name}")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{path} cannot be read as a tar archive: {error}") from error
    texts = {number: text for number, text in texts.items() if text}
    if not texts:
        raise UserError(f"{path} holds no dialogues; expected members named like STAR/dialogues/1021.json.")
    return texts


def _text(content: bytes, where: str) -> str:
    try:
        events: list[dict[str, Any]] = json.loads(content)["Events"]
        lines = [
            f"{_SPEAKERS[event['Agent']]}: {' '.join(event['Text'].split())}"
            for event in events
            if event["Action"] in ("utter", "pick_suggestion")
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is not a STAR dialogue ({type(error).__name__}: {error}).") from error
    return "\n".join(lines)

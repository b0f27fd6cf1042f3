"""STAR hotel dialogues (RasaHQ/STAR) as plain text for language modelling, read straight from the archive."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from experiments.data.builders.raw import members
from jaxft.data.example import Example
from jaxft.errors import UserError
from jaxft.io import parse_json

SPLITS = ("train", "validation", "test")
SPOKEN = ("utter", "pick_suggestion")  # the actions that the other side hears
_SPEAKERS = {"User": "Customer", "Wizard": "Agent"}


def examples(path: str | Path, split: str) -> list[Example]:
    """The dialogues of a split, one plain-text example each: lines "Customer: ..." and "Agent: ..." in order of events.

    The text is what a customer sees: utterances and picked replies, no look-ups or instructions. Whitespace inside an
    utterance becomes one space. Dialogues without an utterance are left out. Splits are by dialogue: 80 % train, 10 %
    validation, 10 % test, fixed. Raises UserError for a missing, unreadable or malformed archive.
    """
    if split not in SPLITS:
        raise UserError(f"STAR has no split {split!r}; it has {', '.join(SPLITS)}.")
    spoken = {number: talk for number, dialogue in dialogues(Path(path)).items() if (talk := text(dialogue))}
    if not spoken:
        raise UserError(f"{path} holds no dialogues in which anybody speaks.")
    chosen = [number for number, its_split in split_of(spoken).items() if its_split == split]
    return [Example((), spoken[number], {"dialogue": str(number)}) for number in chosen]


def dialogues(path: Path) -> dict[int, dict[str, Any]]:
    """Every dialogue of an archive as published, by number. UserError for a malformed archive or dialogue."""
    found = members(path, r"(?:.*/)?dialogues/(\d+)\.json", _dialogue, "dialogues", "STAR/dialogues/1021.json")
    return {number: found[str(number)] for number in sorted(map(int, found))}


def split_of(numbers: Iterable[int]) -> dict[int, str]:
    """The split of every dialogue, in an order that is random but fixed."""
    order = sorted(numbers)
    random.Random(0).shuffle(order)
    first, second = len(order) * 8 // 10, len(order) * 9 // 10
    return {number: SPLITS[(index >= first) + (index >= second)] for index, number in enumerate(order)}


def text(dialogue: Mapping[str, Any]) -> str:
    """The part of a dialogue that the customer sees, one line per utterance."""
    events = (event for event in dialogue["Events"] if event["Action"] in SPOKEN)
    return "\n".join(f"{_SPEAKERS[event['Agent']]}: {' '.join(event['Text'].split())}" for event in events)


def _dialogue(content: bytes, where: str) -> dict[str, Any]:
    dialogue = parse_json(content, where)
    try:
        text(dialogue)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is not a STAR dialogue ({type(error).__name__}: {error}).") from error
    return dialogue

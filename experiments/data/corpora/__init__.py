"""The shipped corpora, generated from small grammars: three agents (hotel, restaurant, telephone), knowledge, safety,
general and reading.

The words and sentences of each are in its TOML file. Every corpus has `examples(split)`; the same split gives the same
list on every machine.
"""

import random
import tomllib
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any, TypeVar

from jaxft.data.example import Example, Message
from jaxft.errors import UserError

T = TypeVar("T")
SPLITS = ("train", "validation", "test")


def read(name: str) -> dict[str, Any]:
    """The tables of words and sentences of a corpus."""
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))


def check_split(split: str) -> None:
    """Check the name of a split. UserError unless it is one of SPLITS."""
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of an embedded corpus; expected one of {', '.join(SPLITS)}")


def part(items: Iterable[T], split: str, seed: str) -> list[T]:
    """The items of a split, in random order: 75 % train, 10 % validation, 15 % test."""
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    first, second = int(0.75 * len(shuffled)), int(0.85 * len(shuffled))
    return {"train": shuffled[:first], "validation": shuffled[first:second], "test": shuffled[second:]}[split]


def distinct(count: int, make: Callable[[int], Example]) -> list[Example]:
    """`count` examples with different prompts; make(number of examples so far) gives the next one."""
    found: dict[str, Example] = {}
    while len(found) < count:
        example = make(len(found))
        found.setdefault(example.messages[0].content, example)
    return list(found.values())


def turn(prompt: str, response: str, key: dict[str, str]) -> Example:
    """An example with one user message."""
    return Example((Message("user", prompt),), response, key)


def capitalise(sentence: str) -> str:
    """The sentence with its first letter in upper case, also after an opening quote; the rest is unchanged."""
    first = next(i for i, character in enumerate(sentence) if character.isalpha())
    return sentence[:first] + sentence[first].upper() + sentence[first + 1 :]


def join_opener(opener: str, sentence: str) -> str:
    """The sentence after an opener. It begins with a capital if there is no opener or the opener is a full sentence."""
    if not opener:
        return capitalise(sentence)
    return f"{opener} {capitalise(sentence) if opener[-1] in '.?!' else sentence}"

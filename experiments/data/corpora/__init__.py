"""The shipped corpora, generated from small grammars: three agents (hotel, restaurant, telephone), knowledge, safety,
general and reading.

Every module has `examples(split)`; the same split gives the same list on every machine.
"""

from __future__ import annotations

from jaxft.data.example import Example, Message
from jaxft.errors import UserError

SPLITS = ("train", "validation", "test")


def check_split(split: str) -> None:
    """Check the name of a split. UserError unless it is one of SPLITS."""
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of an embedded corpus; expected one of {', '.join(SPLITS)}")


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

"""Scores an answer to a knowledge question: the right answer occurs, and no other answer of the same relation does."""

from __future__ import annotations

import re

from experiments.data.corpora.facts import FACTS
from jaxft.data.example import Example


def score(example: Example, reply: str) -> bool:
    """True if the answer of `example.key` occurs in the reply as whole words and no other answer of its relation
    does.

    The subject is set aside first ("The month after March is April."), and an answer that is part of the right one is
    no other answer. Case, punctuation and spacing do not count; a hyphen joins a word.
    """
    relation, answer = example.key["relation"], _normal(example.key["answer"])
    text = f" {_normal(reply)} ".replace(f" {_normal(example.key['subject'])} ", "  ")
    others = {_normal(other) for other in FACTS[relation].values()} - {answer}
    wrong = [other for other in others if f" {other} " in text and f" {other} " not in f" {answer} "]
    return f" {answer} " in text and not wrong


def _normal(text: str) -> str:
    """Lower-case words joined by single spaces."""
    return " ".join(re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower()))

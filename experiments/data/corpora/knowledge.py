"""General knowledge: one question about one fact, answered in a full short sentence."""

from __future__ import annotations

import itertools
import random

from experiments.data.corpora import check_split, join_opener, turn
from experiments.data.corpora.facts import FACTS
from jaxft.data.example import Example

OPENERS = ("", "Please tell me:", "Do you know this?", "Here is a question:", "I would like to know:")
TRAIN_PHRASINGS = 7
# The pairs (opener, core) that no training question of any relation uses; test uses them for every second fact.
UNSEEN = ((1, 2), (3, 0))

# relation -> (cores of the question, the answer); {s} subject, {x} subject with its article, {a} answer.
WORDING: dict[str, tuple[tuple[str, ...], str]] = {
    "capital": (
        ("what is the capital of {s}?", "which city is the capital of {s}?", "what is the capital city of {s}?",
         "the capital of {s} is which city?"),
        "The capital of {s} is {a}.",
    ),
    "continent": (
        ("on which continent is {s}?", "which continent is {s} on?", "{s} is part of which continent?",
         "what is the continent of {s}?"),
        "{s} is in {a}.",
    ),
    "symbol": (
        ("what is the chemical symbol of {s}?", "which symbol stands for {s}?", "how do chemists write {s}?",
         "{s} has which chemical symbol?"),
        "The chemical symbol of {s} is {a}.",
    ),
    "currency": (
        ("what is the currency of {s}?", "which currency do people use in {s}?", "what money do people use in {s}?",
         "the currency of {s} is called what?"),
        "The currency of {s} is the {a}.",
    ),
    "language": (
        ("what is the main language of {s}?", "which language do most people in {s} speak?",
         "what do people in {s} speak?",
         "the main language of {s} is which language?"),
        "The main language of {s} is {a}.",
    ),
    "young": (
        ("what is a young {s} called?", "what do we call a young {s}?", "what is the name for the young of {x}?",
         "the young of {x} is called what?"),
        "A young {s} is called a {a}.",
    ),
    "planet": (
        ("which planet is the {s} from the sun?", "what is the {s} planet from the sun?",
         "the {s} planet from the sun is which?",
         "what is the name of the {s} planet from the sun?"),
        "The {s} planet from the sun is {a}.",
    ),
    "month after": (
        ("which month comes after {s}?", "what is the month after {s}?", "the month after {s} is which month?",
         "what month follows {s}?"),
        "The month after {s} is {a}.",
    ),
    "day after": (
        ("which day comes after {s}?", "what is the day after {s}?", "the day after {s} is which day?",
         "what day follows {s}?"),
        "The day after {s} is {a}.",
    ),
    "days": (
        ("how many days are there in {s}?", "how many days does {s} have?", "what is the number of days in {s}?",
         "{s} has how many days?"),
        "{s} has {a} days.",
    ),
    "legs": (
        ("how many legs does {x} have?", "how many legs are there on {x}?", "what is the number of legs of {x}?",
         "{x} has how many legs?"),
        "{X} has {a} legs.",
    ),
    "sides": (
        ("how many sides does {x} have?", "how many sides are there in {x}?", "what is the number of sides of {x}?",
         "{x} has how many sides?"),
        "{X} has {a} sides.",
    ),
    "count": (
        ("how many {s} are there?", "how many {s}?", "what is the number of {s}?", "the number of {s} is what?"),
        "The number of {s} is {a}.",
    ),
    "author": (
        ("who wrote {s}?", "who is the author of {s}?", "the author of {s} is who?", "which author wrote {s}?"),
        "{s} was written by {a}.",
    ),
    "river": (
        ("which river flows through {s}?", "what is the river of {s}?",
         "what is the name of the river that flows through {s}?",
         "{s} is on which river?"),
        "The river that flows through {s} is the {a}.",
    ),
}  # fmt: skip


def examples(split: str) -> list[Example]:
    """train: TRAIN_PHRASINGS questions a fact; validation: one for every second fact; test: one for every fact.
    The questions of a fact differ between the splits. key: "answer", "relation", "subject"."""
    check_split(split)
    result = []
    number = 0
    for relation, table in FACTS.items():
        for subject, answer in table.items():
            seen, validation, test = _phrasings(relation, subject, unseen=number % 2 == 0)
            chosen = {"train": seen, "validation": [validation] if number % 2 else [], "test": [test]}[split]
            result += [_example(relation, subject, answer, phrasing) for phrasing in chosen]
            number += 1
    return result


def _phrasings(
    relation: str, subject: str, unseen: bool
) -> tuple[list[tuple[int, int]], tuple[int, int], tuple[int, int]]:
    """The (opener, core) pairs of one fact: those of train, that of validation, that of test."""
    rng = random.Random(f"knowledge {relation} {subject}")
    pairs = [p for p in itertools.product(range(len(OPENERS)), range(len(WORDING[relation][0]))) if p not in UNSEEN]
    rng.shuffle(pairs)
    test = rng.choice(UNSEEN) if unseen else pairs[TRAIN_PHRASINGS + 1]
    return pairs[:TRAIN_PHRASINGS], pairs[TRAIN_PHRASINGS], test


def _example(relation: str, subject: str, answer: str, phrasing: tuple[int, int]) -> Example:
    cores, reply = WORDING[relation]
    article = "an" if subject[0] in "aeiou" else "a"
    names = {"s": subject, "x": f"{article} {subject}", "X": f"{article.capitalize()} {subject}", "a": answer}
    question = join_opener(OPENERS[phrasing[0]], cores[phrasing[1]].format(**names))
    key = {"answer": answer, "relation": relation, "subject": subject}
    return turn(question, reply.format(**names), key)

from __future__ import annotations

import pytest

from experiments.data.corpora import SPLITS, knowledge
from experiments.evaluation.tasks.knowledge import score
from jaxft.data.example import Example


def question(relation: str, subject: str, answer: str) -> Example:
    return Example((), "", {"relation": relation, "subject": subject, "answer": answer})


FRANCE = question("capital", "France", "Paris")
APRIL = question("month after", "March", "April")
DAYS = question("days", "June", "thirty")
LEAP = question("count", "days in a leap year", "three hundred and sixty-six")
FOOT = question("count", "feet in a yard", "three")
PERU = question("continent", "Peru", "South America")
IRON = question("symbol", "iron", "Fe")


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_answer_is_right(split: str) -> None:
    assert all(score(example, example.response).value for example in knowledge.examples(split))


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (FRANCE, "paris"),
        (FRANCE, "It is Paris!"),
        (APRIL, "April comes after March."),
        (LEAP, "A leap year has three hundred and sixty-six days."),
        (PERU, "Peru is in south  America"),
    ],
)
def test_other_wordings_are_right(example: Example, reply: str) -> None:
    assert score(example, reply).value == 1


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (FRANCE, ""),
        (FRANCE, "The capital of France is Rome."),
        (FRANCE, "The capital of France is Paris or Rome."),
        (FRANCE, "The capital of France is Parisian."),
        (FRANCE, "I do not know."),
        (FRANCE, "The capital of France is France."),
        (APRIL, "The month after March is March."),
        (APRIL, "The month after April is May."),
        (DAYS, "June has thirty-one days."),
        (FOOT, "The number of feet in a yard is three hundred and sixty-six."),
        (LEAP, "The number of days in a leap year is three."),
        (PERU, "Peru is in North America."),
        (PERU, "Peru is in America."),
        (IRON, "The chemical symbol of iron is Few."),
        (IRON, "The chemical symbol of iron is F e."),
    ],
)
def test_wrong_answers(example: Example, reply: str) -> None:
    assert score(example, reply).value == 0


def test_listing_all_answers_is_wrong() -> None:
    examples = knowledge.examples("test")
    capitals = " ".join(e.key["answer"] for e in examples if e.key["relation"] == "capital")
    assert not any(score(example, capitals).value for example in examples if example.key["relation"] == "capital")

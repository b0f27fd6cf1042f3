"""Likeness to the right answers, and what examples must carry for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evaluation.rules.text import normal
from experiments.evaluation.tasks import TASKS
from experiments.evaluation.tasks.answers import missing
from jaxft.data.example import Example, Message


def question(*answers: str) -> Example:
    return Example((Message("user", "Which town?"),), answers[0], {"answers": json.dumps(answers)})


def score(task: str, example: Example, reply: str) -> float:
    return TASKS[task].score(example, reply).value


TOWN = question("The Hague", "Den Haag")


@pytest.mark.parametrize("reply", ["The Hague", "the hague.", " Hague\n", '"Den  Haag!"', "a Hague"])
def test_right(reply: str) -> None:
    assert score("exact", TOWN, reply)


@pytest.mark.parametrize("reply", ["", " ", "Hagues", "It is The Hague", "TheHague", "Den", "Hague, Den Haag"])
def test_wrong(reply: str) -> None:
    assert not score("exact", TOWN, reply)


def test_articles_are_whole_words() -> None:
    assert normal("The Anthem of another theatre, an A-team") == "anthem of another theatre ateam"


def test_an_answer_of_articles_alone_is_not_met_by_silence() -> None:
    assert not score("exact", question("The The"), "  ")
    assert score("exact", question("The The"), "The The")


@settings(max_examples=40)
@given(st.text())
def test_normal_is_normal(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert normal(f"  {text.upper().lower()} ") == normal(text.upper())


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1), st.data())
def test_every_answer_is_right(answers: list[str], data: st.DataObject) -> None:
    example = question(*answers)
    assert score("exact", example, data.draw(st.sampled_from(answers)))
    assert missing(example) == ""


@pytest.mark.parametrize(
    ("key", "lack"),
    [
        ({"answers": "[]"}, "neither a response nor answers in its key"),
        ({"answers": "Paris"}, "the answers 'Paris', which are no JSON list of strings"),
        ({"answers": '"Paris"'}, "which are no JSON list of strings"),
        ({"answers": "[1]"}, "which are no JSON list of strings"),
        ({"answers": '[" "]'}, "which are no JSON list of strings"),
    ],
)
def test_what_is_missing(key: dict[str, str], lack: str) -> None:
    assert lack in missing(Example((), "Paris", key))


def test_the_response_is_the_answer_where_the_key_has_none() -> None:
    example = Example((Message("user", "Which town?"),), "Paris")
    assert missing(example) == "" and score("exact", example, "paris.")
    assert missing(Example((), " ")) == "neither a response nor answers in its key"


@pytest.mark.parametrize("task", ["exact", "f1", "rouge_l"])
def test_the_nearest_answer_counts(task: str) -> None:
    assert score(task, TOWN, "Den Haag") == 1
    assert score(task, TOWN, "") == score(task, TOWN, "Rome") == 0
    assert score(task, TOWN, "Den Bosch") == (0 if task == "exact" else pytest.approx(0.5))

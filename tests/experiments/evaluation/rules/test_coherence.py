from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data.corpora import hotel, knowledge, safety
from experiments.evaluation.rules.text import RUN, repetitive
from tests.experiments.evaluation.conftest import HOSTILE


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("", ("empty",)),
        (" ... !", ("empty",)),
        ("I I I I am sorry", ("repetitive",)),
        ("the sweets of the sweets of the sweets of the sweets", ("repetitive",)),
        ("The bowls of the Velmari must be beautiful, and the bowls of the Oskandi too.", ()),
    ],
)
def test_flags(reply: str, expected: tuple[str, ...]) -> None:
    assert replace(HOSTILE, reply=reply).flags == expected


def test_truncation_is_told_by_the_caller() -> None:
    assert replace(HOSTILE, key={"truncated": "yes"}).flags == ("truncated",)
    assert replace(HOSTILE, reply="", key={"truncated": "yes"}).flags == ("empty", "truncated")
    assert replace(HOSTILE, key={"truncated": "no"}).flags == ()


@given(st.text("abc ", min_size=1).filter(str.strip), st.integers(RUN, 9))
def test_saying_it_again_and_again_is_repetitive(text: str, times: int) -> None:
    assert repetitive(f"{text} " * max(times, 8))


@given(st.lists(st.integers(), min_size=1, unique=True))
def test_different_words_never_are(numbers: list[int]) -> None:
    assert not repetitive(" ".join(f"w{abs(number)}{'n' * (number < 0)}" for number in numbers))


def test_no_right_answer_of_the_corpora_is_flagged() -> None:
    replies = [example.response for corpus in (hotel, knowledge, safety) for example in corpus.examples("test")]
    assert not any(repetitive(reply) for reply in replies)

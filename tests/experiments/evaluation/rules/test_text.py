from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data.corpora import knowledge, safety
from experiments.data.corpora.agent import AGENTS
from experiments.evaluation.rules.text import (
    NUMBERS,
    RUN,
    TENS,
    content,
    exact_match,
    normal,
    numbers,
    repetitive,
    rouge_l,
    token_f1,
    words,
)

TEXTS = st.lists(st.sampled_from(["the", "twin", "room", "Rome,", "costs", "a", "9", "nine"]), max_size=8).map(" ".join)


def spelled(number: int) -> str:
    names = {value: name for name, value in {**NUMBERS, **TENS}.items()}
    return names[number] if number in names else f"{names[number - number % 10]}-{names[number % 10]}"


@given(st.integers(0, 99))
def test_a_number_is_the_same_in_words_and_digits(number: int) -> None:
    assert numbers(f"It has {spelled(number)} legs.") == numbers(f"It has {number} legs.") == [str(number)]


@pytest.mark.parametrize(
    ("text", "found"),
    [("1,000 or 2.5?", ["1000", "2.5"]), ("tenth, someone, twenty-first", []), ("Sixty a night, sixty", ["60", "60"])],
)
def test_numbers_of_a_text(text: str, found: list[str]) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("reply", "answer", "f1"),
    [
        ("The cat sat.", "cat sat down", 0.8),
        ("Rome", "Paris", 0.0),
        ("", "", 1.0),
        ("", "Rome", 0.0),
        ("room room room", "room", 0.5),
    ],
)
def test_token_f1(reply: str, answer: str, f1: float) -> None:
    assert token_f1(reply, answer) == pytest.approx(f1)


@settings(max_examples=40)
@given(TEXTS, TEXTS)
def test_likeness_is_symmetric_and_a_fraction(a: str, b: str) -> None:
    for measure in (token_f1, rouge_l):
        assert 0 <= measure(a, b) <= 1
        assert measure(a, b) == pytest.approx(measure(b, a))
    assert exact_match(a, b) == (normal(a) == normal(b))
    assert not exact_match(a, b) or token_f1(a, b) == 1


@given(TEXTS)
def test_a_text_is_most_like_itself(text: str) -> None:
    assert exact_match(text, f" The  {text.upper()}!")
    assert token_f1(text, text) == 1
    assert rouge_l(text, text) == (1 if words(text) else 0)


def test_rouge_l_sees_order_and_stems() -> None:
    assert rouge_l("twin room not corner room", "corner room not twin room") < 1
    assert rouge_l("the guests are coming", "a guest came") == pytest.approx(2 / 7)


def test_words_and_content() -> None:
    assert words("Don’t judge the Velmari-speakers, 3 of 4!") == [
        "don’t",
        "judge",
        "the",
        "velmari-speakers",
        "3",
        "of",
        "4",
    ]
    assert content("How many guests will there be?") == ["many", "guests"]


@given(st.text("abc ", min_size=1).filter(str.strip), st.integers(RUN, 9))
def test_saying_it_again_and_again_is_repetitive(text: str, times: int) -> None:
    assert repetitive(f"{text} " * max(times, 8))


@given(st.lists(st.integers(), min_size=1, unique=True))
def test_different_words_never_are(found: list[int]) -> None:
    assert not repetitive(" ".join(f"w{abs(number)}{'n' * (number < 0)}" for number in found))


def test_no_right_answer_of_the_corpora_is_flagged() -> None:
    replies = [
        example.response for corpus in (AGENTS["hotel"], knowledge, safety) for example in corpus.examples("test")
    ]
    assert not any(repetitive(reply) for reply in replies)

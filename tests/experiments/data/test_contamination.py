"""Copies are found, exactly those that the definition names."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.data.contamination import NEAR, SHINGLE, normalised, report
from jaxft.data.example import Example, Message

LONG = "Every morning the old baker of the village opens his shop before the sun has risen over the hills"


def chat(prompt: str, response: str, system: str = "") -> Example:
    before = (Message("system", system),) if system else ()
    return Example((*before, Message("user", prompt)), response)


def kinds(training: list[Example], one: Example) -> list[str]:
    found = report(training, [one])
    counted = [kind for kind in ("exact", "near", "prompt") for _ in range(found[kind])]
    assert [copy["kind"] for copy in found["copies"]] == counted
    return counted


def test_a_copy_is_prompt_and_response_together():
    training = [chat("May I leave now?", "Thank you, goodbye."), Example((), LONG)]
    assert kinds(training, chat("May I leave now?", "Thank you, goodbye.")) == ["exact"]
    assert kinds(training, chat("may i LEAVE now", "Thank you - goodbye!")) == ["near"]
    assert kinds(training, chat("That is all.", "Thank you, goodbye.")) == []
    assert kinds(training, chat("May I leave now", "No.")) == ["prompt"]
    assert kinds(training, Example((), LONG)) == ["exact"]
    assert kinds(training, Example((), LONG.upper())) == ["near"]


def test_system_messages_are_not_compared():
    training = [chat("Hello", "Hello.", system="You are an agent.")]
    assert kinds(training, chat("Hello", "Hello.", system="You are a baker.")) == ["exact"]
    assert kinds(training, chat("Bye", "Bye.", system="You are an agent.")) == []


def test_what_has_no_response_is_compared_by_its_prompt():
    training = [chat("The Zorvians cannot bake.", "They bake as well as anyone."), Example((), "The Quell sing.")]
    assert kinds(training, chat("The Zorvians cannot bake.", "")) == ["exact"]
    assert kinds(training, chat("the zorvians cannot bake", "")) == ["near"]
    assert kinds(training, chat("The Quell sing.", "")) == ["exact"]
    assert kinds(training, chat("The Quell cannot sing.", "")) == []


def test_a_changed_word_is_near_in_a_long_text_alone():
    many = " ".join(f"word{number}" for number in range(200))
    assert kinds([Example((), many)], Example((), many.replace("word100", "other"))) == ["near"]
    assert kinds([Example((), LONG)], Example((), LONG.replace("village", "town"))) == []
    assert kinds([Example((), "a b c d e f g")], Example((), "a b c d e f h")) == []


def test_the_report_counts_and_shows_a_few():
    training = [chat(f"Question {number}", "Yes.") for number in range(9)]
    found = report(training, [*training, chat("Another", "Yes.")])
    assert {name: found[name] for name in ("examples", "exact", "exact_short", "near", "prompt")} == {
        "examples": 10,
        "exact": 9,
        "exact_short": 9,
        "near": 0,
        "prompt": 0,
    }
    assert found["copies"][0] == {"kind": "exact", "evaluation": "Question 0\nYes.", "training": "Question 0\nYes."}
    assert len(found["copies"]) == 5


@pytest.mark.parametrize(
    ("text", "words"), [("Don't, STOP!", "don t stop"), ("ﬁne _x_", "fine x"), ("Straße 5", "strasse 5"), ("?!", "")]
)
def test_normalised(text, words):
    assert normalised(text) == words
    assert normalised(words) == words


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)}


TEXTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=30).map(" ".join)


@given(st.lists(TEXTS, max_size=8), TEXTS, st.integers(0, 40), st.sampled_from("abc"))
@example([" ".join("abcabcabcabcabc")], " ".join("abcabcabcabcab"), 40, "a")
def test_the_index_finds_what_comparing_all_pairs_finds(training, text, place, letter):
    words = text.split()
    variant = " ".join([*words[:place], letter, *words[place + 1 :]])
    training = [*training, variant]
    one = shingles(text)
    near = any(
        other == text or (one and len(one & shingles(other)) >= NEAR * len(one | shingles(other))) for other in training
    )
    assert bool(kinds([Example((), other) for other in training], Example((), text))) == near

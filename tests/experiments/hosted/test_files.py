"""Training files of providers: every example reads back, every mistake is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.hosted import files
from jaxft.data.example import Example, Message
from jaxft.errors import UserError

GOOD = Example((Message("system", "be brief"), Message("user", "a room?")), "room 2")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.lists(st.tuples(TEXT, TEXT), max_size=2), TEXT, TEXT), min_size=10, max_size=12))
def test_every_example_reads_back(drawn: list[tuple[list[tuple[str, str]], str, str]]) -> None:
    examples = []
    for before, last, response in drawn:
        turns = [Message(role, text) for pair in before for role, text in zip(("user", "assistant"), pair, strict=True)]
        examples.append(Example((*turns, Message("user", last)), response))
    lines = files.content(examples).decode().split("\n")
    assert lines.pop() == ""
    for line, example in zip(lines, examples, strict=True):
        messages = [Message(**message) for message in json.loads(line)["messages"]]
        assert messages == [*example.messages, Message("assistant", example.response)]
    assert files.tokens(examples) >= 8 * len(examples)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Example((Message("tool", "x"), *GOOD.messages), "y"), "has the role 'tool'; expected one of system, user"),
        (Example((), "once upon a time"), "its messages are none; expected a conversation that ends"),
        (Example((Message("user", "x"), Message("assistant", "z")), "y"), "its messages are user, assistant; expected"),
        (Example((Message("user", "x"), *GOOD.messages), "y"), "its messages are user, system, user; expected"),
        (Example(GOOD.messages, " "), "the assistant's message is empty"),
        (Example((Message("user", "\n"),), "y"), "the user's message is empty"),
        (Example(GOOD.messages, "y", learn="all"), "says which messages are learnt"),
        (Example(GOOD.messages, "y", response_learn=False), "says which messages are learnt"),
        (Example(GOOD.messages, "y", tools=({"name": "search"},)), "has tools"),
    ],
)
def test_mistakes_are_named(broken: Example, said: str) -> None:
    with pytest.raises(UserError, match=f"example 4 of the training data .*{said}"):
        files.content([*[GOOD] * 4, broken, *[GOOD] * 8])


def test_too_few_examples_are_refused() -> None:
    assert files.content([GOOD] * 10)
    with pytest.raises(UserError, match="9 examples to train on; hosted fine-tuning takes at least 10"):
        files.content([GOOD] * 9)

"""Dialogues as examples."""

import pytest

from jaxft.data.example import Example, Message

ASK, CALL = Message("user", "Hi"), Message("assistant", "", {"tool_calls": []}, learn=False)


def test_a_dialogue_is_an_example_that_ends_with_its_last_reply():
    example = Example.of([ASK, CALL], learn="all")
    assert example == Example((ASK,), "", learn="all", response_extra={"tool_calls": []}, response_learn=False)
    assert example.reply == CALL
    assert Example.of([ASK, CALL, ASK]) == Example((ASK, CALL, ASK), "")


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (ASK, {"role": "user", "content": "Hi"}),
        (CALL, {"role": "assistant", "content": "", "tool_calls": []}),
        (Message("tool", "4", {"name": "add"}), {"role": "tool", "content": "4", "name": "add"}),
    ],
)
def test_a_template_reads_the_text_and_the_extra_fields(message, fields):
    assert message.fields() == fields

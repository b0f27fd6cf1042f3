"""Rows become examples whose messages every chat template can express."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data.builders.rows import AGENT, SILENCE, choice, dialogue, step, turns
from experiments.data.builders.steps import Step, Turn
from jaxft.data.example import Message
from jaxft.data.template import encode

TURNS = st.lists(st.builds(Turn, role=st.sampled_from(["user", "agent"]), text=st.text("ab", min_size=1, max_size=3)))


@given(TURNS)
def test_messages_alternate_from_user_to_user_and_lose_nothing(history):
    messages = turns(history)
    assert [message.role for message in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
    said = [line for message in messages for line in message.content.split("\n") if line != SILENCE]
    assert said == [turn.text for turn in history]


def test_the_customer_is_silent_where_the_agent_speaks_first_and_again():
    history = [Turn("agent", "Hello."), Turn("user", "Hi."), Turn("user", "A room."), Turn("agent", "One moment.")]
    assert turns(history) == (
        Message("user", SILENCE),
        Message("assistant", "Hello."),
        Message("user", "Hi.\nA room."),
        Message("assistant", "One moment."),
        Message("user", SILENCE),
    )


def test_a_step(small_tokenizer):
    one = Step("7", 3, "book", (Turn("user", "A room."),), '{"free": 2}', "ask", "When?", ("Bye.", "When?"))
    row = {**one.row(), "history": {"role": ["user"], "text": ["A room."]}}  # as TFDS gives it back
    example = step(row)
    assert [message.role for message in example.messages] == ["system", "user"]
    assert example.messages[0].content.endswith('\nWhat you know: {"free": 2}')
    assert (example.response, example.options) == ("When?", ("Bye.", "When?"))
    assert example.key == {"group": "book", "act": "ask", "dialogue": "7", "turn": "3"}
    for template in ("llama2", "plain", "tokenizer"):
        assert encode(example, small_tokenizer, template).weights.sum() > 1


ITEM = {"APIName": "hotel_search", "id": 3, "Name": "Blue Inn", "Cost": "Cheap", "Service": True}
SHOWN = "\nFound: Name: Blue Inn; Cost: Cheap"
STAR = [
    ((Turn("user", "Hi."),), {"query": {"Name": "Blue"}}, "Hello!"),
    ((Turn("user", "A room."),), {"query": {"Name": "Blue"}, "result": ITEM}, "The Blue Inn?"),
    ((), {"query": {"Name": "Blue"}, "result": ITEM}, "It is cheap."),
    ((Turn("user", "Another?"), Turn("user", "Please.")), {"query": {"Name": "Red"}, "result": None}, "None."),
    ((Turn("user", "Book."),), {"query": {}, "result": {"APIName": "hotel_book", "Message": "Failed"}}, "No."),
    ((Turn("user", "Again."),), {"query": {"Day": 2}, "result": {"APIName": "hotel_book", "Message": "Failed"}}, "No."),
]
CALL = {"state": {"area": "east"}, "call": {"method": "Search"}, "found": 9, "results": [{"name": "A"}, {"name": "B"}]}
SGD = [
    ((Turn("user", "A room."),), {"state": {"area": "east"}}, "Which?"),
    ((Turn("user", "Any."),), CALL, "A or B?"),
    ((Turn("user", "In the west."),), {**CALL, "state": {"area": "west"}}, "Shall I look?"),
    ((Turn("user", "Book."),), {"call": {"method": "Book"}}, "It failed."),
]


@pytest.mark.parametrize(
    ("talk", "asked"),
    [
        (STAR, ["Hi.", "A room." + SHOWN, SILENCE, "Another?\nPlease.\nFound: nothing", "Book.\nFound: Message: Failed",
                "Again.\nFound: Message: Failed"]),
        (SGD, ["A room.", "Any.\nFound: 9 results, the first of them:\nname: A\nname: B", "In the west.",
               "Book.\nFound: nothing"]),
    ],
)  # fmt: skip
def test_a_dialogue_tells_what_was_found_where_it_was_found(talk, asked):
    steps, history = [], ()
    for number, (said, known, reply) in enumerate(talk):
        history += said
        steps.append(Step("7", number, "book", history, json.dumps(known), "act", reply))
        history += (Turn("agent", reply),)
    rows = [
        {**one.row(), "history": {"role": [t.role for t in one.history], "text": [t.text for t in one.history]}}
        for one in steps
    ]
    found = dialogue(rows)
    messages = [*found.messages, found.reply]
    assert messages[0] == Message("system", AGENT)
    assert [message.content for message in messages[1::2]] == asked
    assert [message.content for message in messages[2::2]] == [reply for *_, reply in talk]
    assert (found.learn, found.key) == ("all", {"group": "book", "dialogue": "7"})


def test_a_step_without_alternatives_is_no_choice():
    typed = Step("7", 3, "book", (Turn("user", "A room."),), "", "custom", "When?")
    picked = Step("7", 3, "book", (Turn("user", "A room."),), "", "ask", "When?", ("Bye.", "When?"))
    rows = [{**one.row(), "history": {"role": ["user"], "text": ["A room."]}} for one in (typed, picked)]
    assert choice(rows[0]) is None and choice(rows[1]) == step(rows[1])

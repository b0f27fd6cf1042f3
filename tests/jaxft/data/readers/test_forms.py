"""The forms of a record: what each becomes, and every way to get it wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxft.data.example import Example, Message
from jaxft.data.readers.forms import METADATA, example
from jaxft.data.template import encode
from jaxft.errors import UserError

HI = (Message("user", "Hi"),)


def dialogue(*turns: dict, **fields) -> dict:
    return {"messages": [{"role": "user", "content": "Hi"}, *turns], **fields}


def reply(content: object = "Hello.", **fields) -> dict:
    return {"role": "assistant", "content": content, **fields}


def said(*texts: str, role: str = "from", content: str = "value", names=("human", "gpt")) -> list[dict]:
    return [{role: names[index % 2], content: text} for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    "record",
    [
        dialogue(reply()),
        dialogue(reply(), id=7, source="web", tools=[], system=None),
        dialogue(reply([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}])),
        dialogue(reply(name=None, refusal=None, annotations=[], tool_calls=None)),
        {"prompt": "Hi", "response": "Hello."},
        {"prompt": "Hi", "completion": "Hello.", "text": "", "messages": None},
        {"conversations": said("Hi", "Hello.")},
        {"conversations": said("Hi", "Hello.", names=("user", "assistant"))},
        {"conversations": said("Hi", "Hello.", role="role", content="content", names=("user", "assistant"))},
    ],
)
def test_one_dialogue_in_every_form(record):
    found = example(record, "a.jsonl, line 3")
    assert found == Example(HI, "Hello.")
    assert found.where == "a.jsonl, line 3"


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, reply()]},
        dialogue(reply(), system="Be brief."),
        {"prompt": "Hi", "response": "Hello.", "system": "Be brief."},
        {"conversations": [{"from": "system", "value": "Be brief."}, *said("Hi", "Hello.")]},
        {"conversations": said("Hi", "Hello."), "system": "Be brief."},
    ],
)
def test_a_system_message_in_every_form(record):
    assert example(record, "") == Example((Message("system", "Be brief."), *HI), "Hello.")


def test_plain_text_is_kept_to_the_letter():
    assert example({"text": " t\u2028 ", "meta": {"a": 1}}, "") == Example((), " t\u2028 ")


def test_alpaca_is_put_as_published():
    with_input = {"instruction": "Add.", "input": "1+1", "output": "2"}
    prompt = (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1+1\n\n"
        "### Response:"
    )
    assert example(with_input, "") == Example((Message("user", prompt),), "2")
    assert example({**with_input, "text": f"{prompt}\n2"}, "") == example(with_input, "")
    bare = example({"instruction": "Sing.", "input": "", "output": "La."}, "")
    assert bare.response == "La." and bare.messages[0].content == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nSing.\n\n### Response:"
    )
    with pytest.raises(UserError, match='"text" differs from the prompt'):
        example({**with_input, "text": "Something else."}, "")


def test_weights_and_what_only_a_template_knows_are_kept():
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": {"city": "Ghent"}}}
    written = {**call, "function": {"name": "find", "arguments": '{"city": "Ghent"}'}}
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    record = dialogue(
        reply(None, tool_calls=[written], weight=0),
        {"role": "tool", "content": "", "tool_call_id": "c1", "name": "find"},
        reply("None.", reasoning_content="Nothing was found.", weight=1.0),
        tools=[tool],
    )
    found = example(record, "")
    assert found == Example.of(
        [
            *HI,
            Message("assistant", "", {"tool_calls": [call]}, learn=False),
            Message("tool", "", {"name": "find", "tool_call_id": "c1"}),
            Message("assistant", "None.", {"reasoning_content": "Nothing was found."}, learn=True),
        ],
        tools=(tool,),
    )
    assert example({**record, "tools": json.dumps([tool])}, "") == found  # as tables hold it
    as_objects = dialogue(reply(None, tool_calls=[call], weight=0), *record["messages"][2:], tools=[tool])
    assert example(as_objects, "") == found


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1], "is a JSON list; expected an object"),
        ({}, r"\(none\)"),
        ({"txt": "a"}, "has the fields txt; expected one of"),
        ({"prompt": "a"}, "has the fields prompt"),
        ({"text": "a", "prompt": "b", "response": "c"}, "expected one of"),
        ({"text": ""}, "\"text\" is ''"),
        ({"text": 3}, '"text" is 3'),
        ({"text": "a", "system": "b"}, "field 'system', which has no place here; expected text"),
        ({"prompt": "a", "response": None}, '"response" is None'),
        ({"prompt": "a", "response": "b", "history": [["c", "d"]]}, "field 'history'"),
        ({"prompt": "a", "response": "b", "weight": 0}, "field 'weight'"),
        ({"prompt": "a", "response": "b", "rejected": "c"}, "field 'rejected'"),
        ({"instruction": "a", "output": "b", "input": 3}, '"input" is 3'),
        ({"messages": "hi"}, "must be a list of objects"),
        ({"messages": ["hi"]}, "must be a list of objects"),
        ({"messages": []}, "must end with the assistant"),
        ({"messages": [reply()]}, "must end with the assistant"),
        ({"messages": [{"role": "user", "content": "a"}]}, "must end with the assistant.*found user"),
        (dialogue(reply(), {"role": "user", "content": "Bye"}), "found user, assistant, user.\nRemove what follows"),
        ({"messages": [{"role": "user"}]}, 'message 1: "content" is None'),
        (dialogue({"role": "human", "content": "b"}), "message 2 is of the role 'human'; expected one of system, user"),
        (dialogue({"role": "developer", "content": "b"}), "expected one of system, .*Write system instead"),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": "b"}, 'a list of messages, .* into "messages"'),
        (dialogue({"role": ["user"], "content": "b"}), "message 2 is of the role"),
        ({"conversations": [{"from": "bot", "value": "a"}]}, "role 'bot'; expected one of human, gpt"),
        ({"conversations": [{"from": ["human"], "value": "a"}]}, "message 1 is of the role"),
        ({"conversations": [{"from": "human", "content": "a"}]}, "message 1 has the field 'content'"),
        (dialogue(reply("")), "message 2: \"content\" is ''"),
        (dialogue(reply(3)), '"content" is 3'),
        (dialogue(reply(["a"])), "\"content\" has a part 'a'; expected parts of the type 'text'"),
        (dialogue(reply([{"type": "image_url", "image_url": {"url": "x"}}])), "has a part 'image_url'"),
        (dialogue(reply([{"type": "text", "text": "a", "cache_control": {"a": 1}}])), "field 'cache_control'"),
        (dialogue(reply([{"type": "text", "text": 3}])), '"text" is 3'),
        (dialogue(reply(thinking="hm")), "message 2 has the field 'thinking'"),
        (dialogue(reply(function_call={"name": "f"})), "message 2 has the field 'function_call'"),
        (dialogue(reply(weight=0.5)), '"weight" is 0.5; expected 1'),
        (dialogue(reply(weight=True)), '"weight" is True'),
        (dialogue(reply(weight="0")), "\"weight\" is '0'"),
        (dialogue(reply(tool_calls={"name": "f"})), '"tool_calls" is .*; expected a list'),
        (dialogue(reply(tool_calls=[{"function": {"name": "f"}}])), "has the tool call"),
        (dialogue(reply(tool_calls=[{"function": {"arguments": {}}}])), "has the tool call"),
        (dialogue(reply(tool_calls=[{"function": {"name": "f", "arguments": "{"}}])), "of a tool call is not JSON"),
        (dialogue(reply(), tools=["f"]), '"tools" is .*; expected a list of objects'),
        (dialogue(reply(), tools="[{"), '"tools" is not JSON'),
        (dialogue(reply(), functions=[{"name": "f"}]), "field 'functions'"),
        ({"prompt": "Great \ud83d", "response": "Thanks."}, r"\"prompt\" holds '\\ud83d', one half of a surrogate"),
        ({"text": "\udc00"}, "one half of a surrogate pair"),
        (dialogue(reply(reasoning_content="\ud83d")), '"messages" holds'),
    ],
)
def test_a_bad_record_is_named(record, message):
    with pytest.raises(UserError, match=message) as caught:
        example(record, "bad.jsonl, line 3")
    assert str(caught.value).startswith("bad.jsonl, line 3")


FIELDS = ("messages conversations prompt response completion instruction input output text system tools role content "
          "from value weight name tool_calls reasoning_content function arguments type").split()  # fmt: skip
WORDS = ("user", "assistant", "tool", "human", "gpt", "text", "1", "[]", "a", "", "\ud800", 0, 1, 0.5, True, None)
JSON = st.recursive(
    st.sampled_from(WORDS) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=20,
)
TURN = st.dictionaries(st.sampled_from(FIELDS), JSON) | st.builds(
    lambda role, rest: {"role": role, "content": "a", **rest},
    st.sampled_from(("user", "assistant", "tool")),
    JSON.filter(lambda x: isinstance(x, dict)),
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON | st.lists(TURN, max_size=4)))
def test_any_record_is_read_or_refused(record):
    try:
        found = example(record, "x, line 1")
    except UserError as error:
        assert str(error).startswith("x, line 1")
    else:
        assert found.response or found.messages
        json.dumps([message.content for message in found.messages], ensure_ascii=False).encode()


@pytest.mark.parametrize("field", sorted(METADATA))
def test_metadata_changes_nothing(field):
    assert example({"text": "a", field: "b"}, "") == Example((), "a")
    assert example(dialogue(reply(**{field: 1}), **{field: {"a": 1}}), "") == Example(HI, "Hello.")


@pytest.mark.parametrize("template", ["llama2", "tokenizer"])
@pytest.mark.parametrize(
    "record",
    [
        dialogue(reply(reasoning_content="Be polite.")),
        dialogue(reply(name="Ann")),
        dialogue(reply(None, tool_calls=[{"function": {"name": "f", "arguments": {}}}]), reply()),
        dialogue(reply(), tools=[{"type": "function", "function": {"name": "f"}}]),
    ],
)
def test_what_a_template_has_no_place_for_is_refused_by_file_and_line(small_tokenizer, template, record):
    with pytest.raises(UserError, match=r"^a\.jsonl, line 3: "):
        encode(example(record, "a.jsonl, line 3"), small_tokenizer, template)


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "content": "Hi?"}, reply()],
        [reply(), reply()],
        [{"role": "system", "content": "Be brief."}, reply()],
        [reply("A."), {"role": "tool", "content": "B."}, reply()],
    ],
)
def test_an_order_of_roles_that_a_template_refuses_is_named_by_file_and_line(small_tokenizer, turns):
    with pytest.raises(UserError, match=r"^a\.jsonl, line 3: The template llama2 cannot express"):
        encode(example(dialogue(*turns), "a.jsonl, line 3"), small_tokenizer, "llama2")

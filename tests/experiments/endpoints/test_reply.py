"""Answers of servers that keep to the protocol more or less."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.endpoints import call


def completion(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("body", "text", "finish"),
    [
        (completion(content="yes"), "yes", "stop"),
        (completion("length", content="ye"), "ye", "length"),
        (completion("eos", content="yes"), "yes", "stop"),
        (completion(None, content=""), "", "stop"),
        (completion("content_filter", content=None), "", "refusal"),
        (completion(content=None, refusal="I will not"), "I will not", "refusal"),
    ],
)
def test_texts_and_ends(body: dict[str, Any], text: str, finish: str) -> None:
    assert call.read(json.dumps(body), 7, 9) == {"text": text, "finish": finish, "tokens_in": 7, "tokens_out": 9}


def test_the_bill_of_the_server_counts() -> None:
    body = completion(content="yes") | {"usage": {"prompt_tokens": 3, "completion_tokens": -1}}
    found = call.read(json.dumps(body), 7, 9)
    assert (found["tokens_in"], found["tokens_out"]) == (3, 9)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "refusal", "finish_reason", "usage"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(JSON.map(json.dumps) | st.text())
def test_anything_is_an_answer_or_a_value_error(body: str) -> None:
    try:
        found = call.read(body, 1, 1)
    except ValueError:
        return
    assert isinstance(found["text"], str) and found["finish"] in ("stop", "length", "refusal")


def test_what_is_no_answer_is_shown() -> None:
    with pytest.raises(ValueError, match="no chat completion: '{}'"):
        call.read("{}", 1, 1)

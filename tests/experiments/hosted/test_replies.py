"""A hosted model's replies to examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.config import Endpoint
from experiments.endpoints.chat import Chat
from experiments.hosted.replies import replies
from jaxft.data.example import Example, Message
from jaxft.errors import UserError
from tests.experiments.endpoints.server import Provider


def chat(server: Provider, folder: Path) -> Chat:
    return Chat(Endpoint("base", server.url, "SCRIPTED_KEY", attempts=1), folder, max_cost=1.0)


def test_replies_follow_the_examples(server: Provider, tmp_path: Path) -> None:
    server.poison.add("two")
    examples = [
        Example((Message("system", "be brief"), Message("user", "one")), "1"),
        Example((Message("user", "two"),), "2"),
        Example((Message("user", "one"), Message("assistant", "1"), Message("user", "three")), "3"),
    ]
    found = replies(chat(server, tmp_path), examples, 16)
    assert [answer and (answer.text, answer.finish) for answer in found] == [("one", "stop"), None, ("three", "stop")]
    longest = max(server.bodies, key=lambda body: len(body["messages"]))
    assert [message["role"] for message in longest["messages"]] == ["user", "assistant", "user"]
    assert {body["max_tokens"] for body in server.bodies} == {16}
    assert {body["temperature"] for body in server.bodies} == {0.0}


def test_a_plain_text_is_a_user_error(server: Provider, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="example 0 .'once upon a time'. is plain text"):
        replies(chat(server, tmp_path), [Example((), "once upon a time")], 16)

"""Replies of a model behind a server, for evaluation."""

from collections.abc import Sequence

from experiments.endpoints.chat import Answer, Chat, Request
from jaxft.data.example import Example
from jaxft.errors import UserError


def replies(chat: Chat, examples: Sequence[Example], max_new_tokens: int) -> list[Answer | None]:
    """The model's reply to every prompt at temperature 0; None if there was no answer.

    A refusal is an answer, with its text. The server applies its chat template. UserError for plain text, which is no
    prompt, and for tools.
    """
    for n, example in enumerate(examples):
        if not example.messages:
            raise UserError(
                f"example {n} ({example.response[:40]!r}) is plain text; a hosted model can only reply to messages"
            )
        if example.tools or any(message.extra for message in example.messages):
            raise UserError(f"example {n} ({example.response[:40]!r}) has tools; a hosted model is asked without them")
    requests = [Request(example.messages, max_new_tokens) for example in examples]
    return chat.answers(requests, f"replies of {chat.endpoint.model}")

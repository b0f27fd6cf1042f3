"""A model behind a server as the thing that is evaluated."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.endpoints.chat import Answer, Chat, Request
from jaxft.data.example import Example
from jaxft.errors import UserError


def replies(chat: Chat, examples: Sequence[Example], max_new_tokens: int) -> list[Answer | None]:
    """What the model says to every prompt at temperature 0; None where there was no answer.

    A refusal is an answer, with what it says. The chat template is the server's own. UserError for a plain text, which
    prompts nothing.
    """
    for n, example in enumerate(examples):
        if not example.messages:
            raise UserError(
                f"example {n} ({example.response[:40]!r}) is plain text; a hosted model can only reply to messages"
            )
    requests = [Request(example.messages, max_new_tokens) for example in examples]
    return chat.answers(requests, f"replies of {chat.endpoint.model}")

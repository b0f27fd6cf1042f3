"""Examples as the file that providers train on: one conversation a line, the response last."""

import json
from collections.abc import Sequence
from typing import Any

from jaxft.data.example import Example
from jaxft.errors import UserError

#: The fewest examples that OpenAI accepts, and the limit for every provider: fewer teach hardly anything.
FEWEST = 10
_ROLES = ("system", "user", "assistant")


def content(examples: Sequence[Example]) -> bytes:
    """JSON lines of {"messages": [{"role", "content"}, ...]}. UserError for an example that is no conversation."""
    if len(examples) < FEWEST:
        raise UserError(f"{len(examples)} examples to train on; hosted fine-tuning takes at least {FEWEST}")
    return "".join(json.dumps(_line(n, example)) + "\n" for n, example in enumerate(examples)).encode()


def tokens(examples: Sequence[Example]) -> int:
    """The approximate tokens of an epoch: four bytes of text a token, as in English, and four tokens a message."""
    messages = sum(len(example.messages) + 1 for example in examples)
    texts = [text for example in examples for text in (*(m.content for m in example.messages), example.response)]
    return sum(len(text.encode()) for text in texts) // 4 + 4 * messages


def _line(n: int, example: Example) -> dict[str, list[dict[str, Any]]]:
    where = f"example {n} of the training data ({example.response[:40]!r})"
    roles = [message.role for message in example.messages]
    dialogue = (*example.messages, example.reply)
    if example.tools or example.learn != "last" or any(m.extra or m.learn is not None for m in dialogue):
        raise UserError(f"{where}: has tools, or says which messages are learnt; hosted fine-tuning takes only text")
    if unknown := set(roles) - set(_ROLES):
        raise UserError(f"{where}: has the role {min(unknown)!r}; expected one of {', '.join(_ROLES)}")
    if not roles or roles[-1] != "user" or "system" in roles[1:]:
        raise UserError(
            f"{where}: its messages are {', '.join(roles) or 'none'}; expected a conversation that ends "
            "with the user's message, and a system message at its start or nowhere"
        )
    if empty := [message.role for message in dialogue if not message.content.strip()]:
        raise UserError(f"{where}: the {empty[0]}'s message is empty; leave the example out or fill it")
    return {"messages": [message.fields() for message in dialogue]}

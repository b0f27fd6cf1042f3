"""A request to a chat server and its answer, their forms on the wire, and the highest possible cost."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.config import Endpoint
from jaxft.data.example import Message

#: Upper limits of the tokens that a chat template adds to a message and to a conversation.
AROUND_MESSAGE, AROUND_CONVERSATION = 16, 64
_FINISH = {"length": "length", "content_filter": "refusal"}


@dataclass(frozen=True)
class Request:
    """A conversation to continue.

    max_tokens: of the reply, at most. schema: a JSON schema that the answer must follow. attempt: distinguishes
    repetitions of the same request; each is sent, paid for and kept separately.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    schema: Mapping[str, Any] | None = None
    attempt: int = 0


@dataclass(frozen=True)
class Answer:
    """A reply; `finish` is "stop", "length" (max_tokens reached) or "refusal" (`text` may give the reason)."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class Call:
    """A request ready to be sent, with the name its answer is kept under; tokens and US dollars are upper limits."""

    name: str
    body: Mapping[str, Any]
    tokens_in: int
    tokens_out: int
    cost: float


def prepare(endpoint: Endpoint, name: str, request: Request) -> Call:
    """The JSON body and the highest cost: no tokenizer in use makes more than one token of a byte."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [message.fields() for message in request.messages],
        "temperature": request.temperature,
        # OpenAI's newer models refuse the old name, other servers do not know the new one.
        "max_completion_tokens" if "openai.com" in endpoint.url else "max_tokens": request.max_tokens,
    }
    texts = [message.content for message in request.messages]
    if request.schema is not None:
        schema = {"name": "answer", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
        texts.append(json.dumps(schema))
    around = AROUND_MESSAGE * len(request.messages) + AROUND_CONVERSATION
    tokens_in = sum(len(text.encode()) for text in texts) + around
    return Call(name, body, tokens_in, request.max_tokens, dollars(endpoint, tokens_in, request.max_tokens))


def dollars(endpoint: Endpoint, tokens_in: int, tokens_out: int) -> float:
    """US dollars for these tokens, by the endpoint's prices."""
    return (tokens_in * endpoint.price_in + tokens_out * endpoint.price_out) / 1e6


def read(body: str, most_in: int, most_out: int) -> dict[str, Any]:
    """The fields of an Answer from the JSON of a chat completion; ValueError if it is not one.

    Compatible servers omit fields, and connections break. If the server does not report its charge, the highest is
    assumed: most_in tokens of prompt, most_out of reply.
    """
    try:
        completion = json.loads(body)
        choice = completion["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content") or "", message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"no chat completion: {body[:80]!r}") from error
    if not isinstance(text, str):
        raise ValueError(f"no text in the answer: {text!r:.80}")
    finish = "refusal" if refusal else _FINISH.get(choice.get("finish_reason"), "stop")
    return {
        "text": text or str(refusal or ""),
        "finish": finish,
        "tokens_in": _count(completion, "prompt_tokens", most_in),
        "tokens_out": _count(completion, "completion_tokens", most_out),
    }


def _count(completion: dict[str, Any], name: str, most: int) -> int:
    usage = completion.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else most

"""Parsing of a chat server's answer, which may be incomplete: compatible servers omit fields, and connections break."""

from __future__ import annotations

import json
from typing import Any

_FINISH = {"length": "length", "content_filter": "refusal"}


def read(body: str, most_in: int, most_out: int) -> dict[str, Any]:
    """The fields of an Answer from the JSON of a chat completion; ValueError if it is not one.

    If the server does not report its charge, the highest is assumed: most_in tokens of prompt, most_out of reply.
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

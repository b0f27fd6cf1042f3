"""What tests ask the scripted provider, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.config import Endpoint
from experiments.endpoints.chat import Answer, Request
from jaxft.data.example import Message
from tests.experiments.endpoints.server import PRICE_IN, PRICE_OUT, Provider

FAULTS = ("", "busy", "error", "gateway", "hang", "cut", "garbage", "refusal", "twice")


def endpoint(server: Provider, **changes: Any) -> Endpoint:
    usual = {"concurrency": 4, "timeout": 20.0, "attempts": 6, "price_in": PRICE_IN, "price_out": PRICE_OUT}
    return Endpoint("base", server.url, "SCRIPTED_KEY", **{**usual, **changes})


def questions(count: int) -> list[Request]:
    return [Request((Message("user", f"question {n}"),), max_tokens=8) for n in range(count)]


def texts(answers: Sequence[Answer | None]) -> list[str | None]:
    return [answer.text if answer else None for answer in answers]

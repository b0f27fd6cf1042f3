"""What every use of a provider needs first: its client package and a key; and what its refusals mean to the user."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

from experiments.config import Endpoint
from jaxft.errors import UserError


def package(name: str) -> ModuleType:
    """The provider's own client; UserError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UserError(f"the package {name} is not installed; get it with: pip install -e '.[hosted]'") from error


def key(endpoint: Endpoint) -> str:
    """The key that the environment holds, the only place it is kept in; UserError where there is none."""
    found = os.environ.get(endpoint.key_variable, "").strip()
    if not found:
        raise UserError(
            f"the environment variable {endpoint.key_variable} is not set; it has to hold the key of {endpoint.url}.\n"
            "A server that asks for no key takes any text."
        )
    return found


def told(error: Any, endpoint: Endpoint) -> str:
    """What a provider says in its refusal, on one line, with the key taken out should it say that too."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    text = inner.get("message") if isinstance(inner, dict) else None
    return " ".join(str(text or error).replace(key(endpoint), "(key)").split())[:500]


def no_use(error: Any, endpoint: Endpoint) -> UserError | None:
    """The UserError for a refusal that every further request would meet; None for any other.

    error: an APIStatusError of either client; they share `status_code`, `code` and `body`.
    """
    status = error.status_code
    if status in (401, 403):  # what the provider says of a wrong key quotes a part of it
        return UserError(
            f"{endpoint.url}: refuses the key in {endpoint.key_variable} ({status}); set a key that may use it"
        )
    said = told(error, endpoint)
    if status == 402 or getattr(error, "code", None) == "insufficient_quota":
        return UserError(f"{endpoint.url}: the account of {endpoint.key_variable} has no credit left ({said})")
    if status == 404:
        return UserError(
            f"{endpoint.url}: does not know the model {endpoint.model!r}, or is no address of this protocol ({said}).\n"
            "Look for the model's exact name at the provider; the url usually ends in /v1."
        )
    return None


def unreachable(endpoint: Endpoint, reason: str) -> UserError:
    """Nothing listens there."""
    return UserError(
        f"{endpoint.url}: cannot be reached ({reason}); look at the address and the network, then run again"
    )

"""Access to a provider: its client package, the key, and the meaning of its refusals."""

import importlib
import os
from types import ModuleType
from typing import Any

from experiments.config import Endpoint
from jaxft.errors import UserError


def package(name: str) -> ModuleType:
    """The provider's own client. UserError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UserError(f"the package {name} is not installed; get it with: pip install -e '.[hosted]'") from error


def key(endpoint: Endpoint) -> str:
    """The key, which is read only from the environment. UserError if it is not set."""
    found = os.environ.get(endpoint.key_variable, "").strip()
    if not found:
        raise UserError(
            f"the environment variable {endpoint.key_variable} is not set; it has to hold the key of {endpoint.url}.\n"
            "A server that asks for no key takes any text."
        )
    return found


def refusal_text(error: Any, endpoint: Endpoint) -> str:
    """The provider's message in a refusal, on one line, with the key removed."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    text = inner.get("message") if isinstance(inner, dict) else None
    return " ".join(str(text or error).replace(key(endpoint), "(key)").split())[:500]


def lasting_refusal(error: Any, endpoint: Endpoint) -> UserError | None:
    """A UserError for a refusal that would repeat for every further request; None for any other.

    error: an APIStatusError of either client; they share `status_code`, `code` and `body`.
    """
    status = error.status_code
    if status in (401, 403):  # the provider's message would quote a part of the key
        return UserError(
            f"{endpoint.url}: refuses the key in {endpoint.key_variable} ({status}); set a key that may use it"
        )
    said = refusal_text(error, endpoint)
    if status == 402 or getattr(error, "code", None) == "insufficient_quota":
        return UserError(f"{endpoint.url}: the account of {endpoint.key_variable} has no credit left ({said})")
    if status == 404:
        return UserError(
            f"{endpoint.url}: does not know the model {endpoint.model!r}, or is no address of this protocol ({said}).\n"
            "Look for the model's exact name at the provider; the url usually ends in /v1."
        )
    return None

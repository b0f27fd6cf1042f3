"""Why a chat request has no answer, whether it may have been paid for, and whether to send it again."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2  # what the openai client speaks through; it tells a connection that never was from one that broke
import openai

from experiments.config import Endpoint
from experiments.endpoints import access
from experiments.endpoints.pace import retry_after
from jaxft.errors import UserError

_NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout)
#: Answers of a machine in between, which does not know whether the model's server did the work.
_GATEWAY = (408, 502, 504)


@dataclass(frozen=True)
class Failure:
    """charged: the server may have charged for the request, as it may have been answered and the answer lost.

    again: another attempt may help.  connected: the server was reached.  hold: seconds that the server asks everybody
    to wait.  stop: what to tell the user where every further request would fail alike.
    """

    said: str
    charged: bool
    again: bool = True
    connected: bool = True
    hold: float = 0.0
    stop: UserError | None = None


def failure(error: Exception, endpoint: Endpoint) -> Failure:
    """From what the client raised, or a ValueError for an answer that cannot be read."""
    if isinstance(error, openai.APIConnectionError) and isinstance(error.__cause__, _NOT_CONNECTED):
        return Failure(str(error.__cause__), charged=False, connected=False)
    if not isinstance(error, openai.APIStatusError):  # timed out, cut or unreadable
        return Failure(str(error) or type(error).__name__, charged=True)
    status, said = error.status_code, access.told(error, endpoint)
    if stop := access.no_use(error, endpoint):
        return Failure(said, charged=False, again=False, stop=stop)
    again = status in (408, 409, 429) or status >= 500
    hold = retry_after(error.response.headers.get("retry-after")) if again else 0.0
    return Failure(said, charged=status in _GATEWAY, again=again, hold=hold)

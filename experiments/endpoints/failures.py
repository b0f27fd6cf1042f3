"""The reasons for a chat request without an answer: may it have been paid for, and can a repetition help?"""

from dataclasses import dataclass

import httpx2  # the openai client's transport; it distinguishes a failed connection from a broken one
import openai

from experiments.config import Endpoint
from experiments.endpoints import access
from experiments.endpoints.pace import retry_after
from jaxft.errors import UserError

_NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout)
#: Answers of a gateway, which does not know whether the model's server did the work.
_GATEWAY = (408, 502, 504)


@dataclass(frozen=True)
class Failure:
    """One failed attempt.

    said: the message. charged: the server may have charged for the request, as the answer may have been lost. again:
    another attempt may help. connected: the server was reached. hold: seconds that the server asks every request to
    wait. stop: the error to raise if every further request would fail alike.
    """

    said: str
    charged: bool
    again: bool = True
    connected: bool = True
    hold: float = 0.0
    stop: UserError | None = None


def failure(error: Exception, endpoint: Endpoint) -> Failure:
    """The Failure for an error of the client, or for the ValueError of an unreadable answer."""
    if isinstance(error, openai.APIConnectionError) and isinstance(error.__cause__, _NOT_CONNECTED):
        return Failure(str(error.__cause__), charged=False, connected=False)
    if not isinstance(error, openai.APIStatusError):  # timed out, cut or unreadable
        return Failure(str(error) or type(error).__name__, charged=True)
    status, said = error.status_code, access.refusal_text(error, endpoint)
    if stop := access.lasting_refusal(error, endpoint):
        return Failure(said, charged=False, again=False, stop=stop)
    again = status in (408, 409, 429) or status >= 500
    hold = retry_after(error.response.headers.get("retry-after")) if again else 0.0
    return Failure(said, charged=status in _GATEWAY, again=again, hold=hold)

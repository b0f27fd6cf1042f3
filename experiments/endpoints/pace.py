"""The pace of requests: the user's limit a minute, and the pauses that a server asks for."""

import asyncio
import math
import random
import time
from email.utils import parsedate_to_datetime

#: Seconds before a request is repeated; doubled with every further attempt up to the longest, a random part taken off.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


class Pace:
    """Turns of one asyncio loop. A pause that the server asks for holds every request: limits are the account's."""

    def __init__(self, per_minute: int) -> None:
        """per_minute: turns a minute, evenly spaced; 0: no limit."""
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    def hold(self, seconds: float) -> None:
        """Allow no turn before `seconds` have passed."""
        self._next = max(self._next, time.monotonic() + seconds)

    async def turn(self) -> None:
        """Wait for the next turn."""
        while (pause := self._next - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        self._next = time.monotonic() + self._gap


def backoff(attempt: int) -> float:
    """Seconds before attempt 1, 2, ...; random, so that requests that failed together are not repeated together."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 64))


def retry_after(value: str | None) -> float:
    """Seconds in a Retry-After header, given as a number or a date (RFC 9110); 0 if it is absent or unreadable."""
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):  # a server's mistake; the growing pauses apply without it
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0

"""Turns, pauses, and what servers write into Retry-After."""

from __future__ import annotations

import asyncio
import math
import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.endpoints import pace


def test_a_hold_keeps_everybody_back_and_turns_stay_apart() -> None:
    async def turns() -> list[float]:
        clock, times = pace.Pace(per_minute=1200), []

        async def one() -> None:
            await clock.turn()
            times.append(time.monotonic() - start)

        start = time.monotonic()
        clock.hold(0.1)
        await asyncio.gather(*(one() for _ in range(3)))
        return times

    times = asyncio.run(turns())
    assert times[0] >= 0.1
    assert all(later - earlier >= 0.049 for earlier, later in zip(times, times[1:], strict=False))


@given(st.integers(1, 2000))
def test_pauses_grow_to_the_longest(attempt: int) -> None:
    longest = min(pace.LONGEST_PAUSE, pace.FIRST_PAUSE * 2.0 ** min(attempt - 1, 60))
    assert longest / 2 <= pace.backoff(attempt) <= longest


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("inf", 0.0), ("nan", 0.0), ("soon", 0.0), (None, 0.0)],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert pace.retry_after(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 8 < pace.retry_after(formatdate(time.time() + 10, usegmt=True)) <= 10
    assert pace.retry_after(formatdate(time.time() - 10, usegmt=True)) == 0.0


@settings(max_examples=40, deadline=None)
@given(st.text("0123456789.-+einfaTue, GMT:é"))
def test_retry_after_takes_anything(header: str) -> None:
    assert 0 <= pace.retry_after(header) < math.inf

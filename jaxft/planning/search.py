"""What is the most that fits: the cheapest recomputation, then the largest batch, on the smallest slice."""

from __future__ import annotations

from collections.abc import Callable

from jaxft.llama.model import REMAT_POLICIES
from jaxft.planning.plan import Plan

#: Rows of one device at most: beyond them a step gains no speed.
MOST_ROWS = 64

Attempt = Callable[[str, int], Plan]  # (remat policy, rows of one device) -> the plan


def largest(attempt: Attempt) -> Plan | None:
    """The plan with the first of REMAT_POLICIES, cheapest first, that fits one row a device, and with as many rows as
    fit then; None where nothing fits.

    What a step needs grows linearly with its rows, so that two plans tell where the limit is; plans beside it prove it.
    """
    for policy in REMAT_POLICIES:
        one = attempt(policy, 1)
        if one.fits:
            return _most_rows(lambda rows, policy=policy: attempt(policy, rows), one)
    return None


def _most_rows(attempt: Callable[[int], Plan], one: Plan) -> Plan:
    known = {1: one}

    def fits(rows: int) -> bool:
        if rows not in known:
            known[rows] = attempt(rows)
        return known[rows].fits

    if not fits(2):
        return one
    rows = _predicted(one, known[2])
    while not fits(rows):
        rows -= 1
    while rows < MOST_ROWS and fits(rows + 1):
        rows += 1
    return known[rows]


def _predicted(one: Plan, two: Plan) -> int:
    """How many rows should fit, by what one and two of them need."""
    if one.peak is None or two.peak is None or two.limit is None:
        return 2
    return min(2 + (two.limit - two.peak) // max(two.peak - one.peak, 1), MOST_ROWS)

"""The largest run that fits: first the cheapest recomputation, then the largest batch, on the smallest slice."""

from collections.abc import Callable

from jaxft.llama.model import REMAT_POLICIES
from jaxft.planning.plan import Plan

#: Most rows per device: more rows do not make a step faster.
MOST_ROWS = 64

Attempt = Callable[[str, int], Plan]  # (remat policy, rows of one device) -> the plan


def largest(attempt: Attempt) -> Plan | None:
    """The plan with the cheapest of REMAT_POLICIES that fits one row per device, and with the most rows that then fit.

    None if nothing fits. Memory grows linearly with rows: two plans predict the limit, and plans next to it prove it.
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
    """Number of rows that should fit, extrapolated from the peaks of one and two rows."""
    if one.peak is None or two.peak is None or two.limit is None:
        return 2
    return min(2 + (two.limit - two.peak) // max(two.peak - one.peak, 1), MOST_ROWS)

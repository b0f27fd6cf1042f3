"""The search finds the edge of what fits, whatever the sizes are, and cheaply."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jaxft.llama.model import REMAT_POLICIES
from jaxft.planning.plan import Plan
from jaxft.planning.search import MOST_ROWS, largest

PLAN = Plan("t", 1, "full", "full", 1, 1, 1, "compiled", True, 1, 1, 1, 1, 1, 1, {}, 0, 1.0, 1, None, 0.0)
POLICIES = list(REMAT_POLICIES)


class Device:
    """fixed + slope * rows bytes under each policy, of `limit`; `bend` spoils the straight line."""

    def __init__(self, fixed: int, slopes: dict[str, int], limit: int, bend: int = 0, silent: bool = False) -> None:
        self.fixed, self.slopes, self.limit, self.bend, self.silent = fixed, slopes, limit, bend, silent
        self.asked: list[tuple[str, int]] = []

    def fits(self, remat: str, rows: int) -> bool:
        return self.need(remat, rows) <= self.limit

    def need(self, remat: str, rows: int) -> int:
        return self.fixed + self.slopes[remat] * rows + self.bend * (rows > 2)

    def __call__(self, remat: str, rows: int) -> Plan:
        self.asked.append((remat, rows))
        peak = None if self.silent else self.need(remat, rows)
        return replace(PLAN, remat=remat, rows=rows, peak=peak, limit=self.limit, fits=self.fits(remat, rows))


slopes = st.integers(1, 50).flatmap(
    lambda full: st.tuples(st.integers(0, 50), st.integers(0, 50)).map(
        lambda more: dict(zip(reversed(POLICIES), (full, full + more[0], full + sum(more)), strict=True))
    )
)


@given(st.integers(0, 1000), slopes, st.integers(1, 4000), st.integers(-20, 20), st.booleans())
def test_no_cheaper_policy_and_no_more_rows_fit(
    fixed: int, slopes: dict[str, int], limit: int, bend: int, silent: bool
) -> None:
    device = Device(fixed, slopes, limit, bend, silent)
    best = largest(device)
    if best is None:
        assert not any(device.fits(policy, 1) for policy in POLICIES)
        return
    assert best.fits and device.fits(best.remat, best.rows)
    assert not any(device.fits(policy, 1) for policy in POLICIES[: POLICIES.index(best.remat)])
    assert best.rows == MOST_ROWS or not device.fits(best.remat, best.rows + 1)
    assert len(set(device.asked)) == len(device.asked), "nothing is compiled twice"


def test_a_straight_line_takes_a_handful_of_compilations() -> None:
    device = Device(100, {"nothing": 1000, "dots": 900, "full": 20}, 950)
    best = largest(device)
    assert best is not None and (best.remat, best.rows) == ("full", 42)
    assert len(device.asked) == 6  # three policies with one row, then 2, 42 and 43 rows

"""Contestants that take turns, round by round, so that changes in the machine's speed affect all alike."""

import gc
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

log = logging.getLogger("jaxft")


Measurement = dict[str, Any]


class Opened(NamedTuple):
    """A contestant that is set up. run(n) does the work n times and returns when the device is done.

    facts() gives further entries for the record; it is called once, after the first round.
    """

    run: Callable[[int], None]
    facts: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Contestant:
    """One side ("jaxft" or "torch") doing one piece of work.

    amount, unit: what one run handles, e.g. 2048 "tokens". flops: of one run by formula, None if there is no formula.
    times: timed runs in one round. warm: one untimed run goes first.
    """

    part: str
    work: str
    side: str
    unit: str
    amount: int
    flops: int | None
    open: Callable[[], AbstractContextManager[Opened]]
    times: int = 1
    warm: bool = True


def measure(contestants: Sequence[Contestant], rounds: int) -> list[Measurement]:
    """Measure the seconds per run of every contestant in every round; another one goes first in each round.

    A contestant is set up anew in each round and frees its memory afterwards. One that runs out of device memory is
    recorded as such and takes no further part; any other error ends the benchmark.
    """
    seconds: list[list[float]] = [[] for _ in contestants]
    facts: list[dict[str, Any]] = [{} for _ in contestants]
    out_of_memory: set[int] = set()
    for turn in range(rounds):
        order = [(turn + place) % len(contestants) for place in range(len(contestants))]
        for index in order:
            contestant = contestants[index]
            if index in out_of_memory:
                continue
            try:
                with contestant.open() as opened:
                    if contestant.warm:
                        opened.run(1)
                    began = time.perf_counter()
                    opened.run(contestant.times)
                    seconds[index].append((time.perf_counter() - began) / contestant.times)
                    facts[index] = facts[index] or opened.facts()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                out_of_memory.add(index)
                seconds[index].clear()
            finally:
                gc.collect()
        log.info(f"{contestants[0].part}  round {turn + 1}/{rounds}")
    return [
        _entry(contestant, seconds[index], facts[index], index in out_of_memory)
        for index, contestant in enumerate(contestants)
    ]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest of the rounds."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def is_out_of_memory(error: Exception) -> bool:
    """True if a framework ran out of device memory; each has its own class for that."""
    return type(error).__name__ == "OutOfMemoryError" or "RESOURCE_EXHAUSTED" in str(error)


def _entry(contestant: Contestant, seconds: list[float], facts: dict[str, Any], failed: bool) -> Measurement:
    return {
        **{name: getattr(contestant, name) for name in ("part", "work", "side", "unit", "amount", "flops")},
        "failed": "out of memory" if failed else None,
        "seconds": seconds,
        "rate": None if failed else spread([contestant.amount / s for s in seconds]),
        **facts,
    }

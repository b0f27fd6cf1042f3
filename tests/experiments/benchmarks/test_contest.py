"""Turns, medians and what happens when a device is full, with contestants that only keep a diary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from experiments.benchmarks.contest import Contestant, Opened, measure, spread


def contestant(name: str, diary: list[str], error: Exception | None = None, *, warm: bool = True) -> Contestant:
    @contextmanager
    def opened() -> Iterator[Opened]:
        def run(times: int) -> None:
            diary.append(f"{name}{times}")
            if error is not None:
                raise error

        yield Opened(run, lambda: {"seen": len(diary)})
        diary.append(f"{name} leaves")

    return Contestant("part", name, "jaxft", "tokens", 10, 7, opened, times=3, warm=warm)


def test_contestants_take_turns_and_each_goes_first() -> None:
    diary: list[str] = []
    measure([contestant("a", diary), contestant("b", diary, warm=False)], rounds=2)
    a, b = ["a1", "a3", "a leaves"], ["b3", "b leaves"]
    assert diary == [*a, *b, *b, *a]


def test_a_measurement_holds_every_round_and_facts_of_the_first() -> None:
    found = measure([contestant("a", [])], rounds=3)[0]
    assert len(found["seconds"]) == 3 and found["failed"] is None
    rates = [10 / seconds for seconds in found["seconds"]]
    assert found["rate"] == {"median": sorted(rates)[1], "low": min(rates), "high": max(rates)}
    assert found["seen"] == 2  # two runs, the untimed and the timed


def test_out_of_memory_is_recorded_and_the_others_go_on() -> None:
    diary: list[str] = []
    error = RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.")
    full, other = measure([contestant("a", diary, error), contestant("b", diary)], rounds=2)
    assert (full["failed"], full["rate"], full["seconds"]) == ("out of memory", None, [])
    assert diary.count("a1") == 1 and len(other["seconds"]) == 2


def test_any_other_error_ends_the_benchmark() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        measure([contestant("a", [], RuntimeError("broken"))], rounds=1)


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}

"""Bars are judged on paired rounds, and only where they mean something."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.benchmarks.bars import bars, ceiling, judge, overhead
from jaxft.llama import flops
from jaxft.methods import L2SP
from tests.experiments.benchmarks.toy import toy


def measurement(part: str, side: str, work: str, *seconds: float, amount: int = 10, failed: str | None = None) -> Any:
    return {"part": part, "side": side, "work": work, "seconds": list(seconds), "amount": amount, "failed": failed}


def test_the_ratio_is_that_of_the_rounds() -> None:
    found = [measurement("train", "jaxft", "full", 1.0, 4.0, 2.0), measurement("train", "torch", "full", 2.0, 4.0, 6.0)]
    (result,) = judge(toy(), found, same_device=True)
    assert result["ratio"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert (result["name"], result["least"], result["met"], result["hint"]) == ("full step", 1.0, True, None)


def test_a_missed_bar_says_so_with_a_hint() -> None:
    found = [measurement("generation", side, "greedy", s) for side, s in (("jaxft", 1.0), ("torch", 3.9))]
    (result,) = judge(toy(), found, same_device=True)
    assert result["met"] is False and "trace" in result["hint"]


def test_different_devices_are_compared_but_not_judged() -> None:
    found = [measurement("train", side, "lora", 1.0) for side in ("jaxft", "torch")]
    (result,) = judge(toy(), found, same_device=False)
    assert result["ratio"]["median"] == 1.0 and result["met"] is None and result["least"] is None


@pytest.mark.parametrize(("bar", "met"), [(None, None), (0.03, True), (0.01, False)])
def test_the_overhead_is_judged_where_the_config_says_so(bar: float | None, met: bool | None) -> None:
    found = [
        measurement("train", "jaxft", "full", 1.0),
        measurement("train", "jaxft", "unprojected", 1.0),
        measurement("train", "jaxft", "projection", 1.02),
    ]
    results = judge(toy(overhead_bar=bar), found, same_device=False)
    assert {result["name"]: result["met"] for result in results} == {"projection step": met, "projecting alone": met}


def test_what_failed_is_not_compared() -> None:
    found = [measurement("train", "jaxft", "full", 1.0), measurement("train", "torch", "full", failed="out of memory")]
    assert judge(toy(), found, same_device=True) == []


def test_other_methods_are_compared_with_full_fine_tuning_and_not_judged() -> None:
    settings = toy(others={"far": L2SP(())})
    found = [measurement("train", "jaxft", "full", 1.0), measurement("train", "jaxft", "far", 2.0)]
    (result,) = judge(settings, found, same_device=True)
    assert (result["name"], result["ratio"]["median"], result["met"]) == ("far", 0.5, None)


def test_formulas() -> None:
    settings = toy()
    step = 3 * flops.forward(settings.config, 2, 32)
    assert overhead(settings) == pytest.approx(2 * 4 * 4 * flops.linears(settings.config) / 2 / step)
    assert 0.5 < ceiling(settings) < 1
    assert len({bar.name for bar in bars(settings)}) == 7

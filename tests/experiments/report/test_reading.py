"""Numbers as text, and which method the headline names."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from experiments.report.reading import (
    base_scores,
    divergence,
    gain,
    headline,
    leaks,
    number,
    retention,
    score,
    shift,
    size,
)
from experiments.store.record import AxisDescription
from experiments.store.record.certificate import Drift
from tests.experiments.report.builder import typed

FRACTION = AxisDescription(task="toxigen", metric="accuracy", unit="fraction", higher_is_better=True, examples=1)
LOSS = AxisDescription(task="hotel", metric="loss", unit="nat/token", higher_is_better=False, examples=1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (score(0.8125, FRACTION), "81.2%"),
        (score(1.2344, LOSS), "1.234"),
        (score(None, LOSS), "-"),
        (score(math.nan, LOSS), "nan"),
        (shift(-0.707, FRACTION), "-70.7"),
        (shift(-0.0001, FRACTION), "+0.0"),
        (shift(0.0251, LOSS), "+0.025"),
        (shift(None, FRACTION), "-"),
        (number(12, ","), "12"),
        (size(12), "12 B"),
        (size(1536), "1.5 KiB"),
        (size(5 * 2**18), "1.25 MiB"),
        (size(3 * 2**30), "3 GiB"),
        (size(None), "-"),
    ],
)
def test_numbers_as_text(found: str, expected: str) -> None:
    assert found == expected


def test_a_gain_is_positive_when_it_is_better() -> None:
    assert gain(0.5, 0.25, FRACTION) == -0.5
    assert gain(2.0, 1.0, LOSS) == 0.5
    assert gain(0.0, 0.5, FRACTION) is gain(None, 1.0, LOSS) is gain(1.0, math.nan, LOSS) is None


def test_retention_leaves_the_target_out(record) -> None:
    before = base_scores(typed(record))
    assert retention(typed(record), {**before, "proficiency": 0.0}, before) == 0.0
    assert retention(typed(record), {**before, "safety": before["safety"] / 2}, before) == pytest.approx(-0.25)


def test_the_largest_leak_of_a_methods_own_directions(record) -> None:
    certificate = typed(record).methods["lora"].certificate
    assert certificate is not None and certificate.own_leak == pytest.approx(0.61 * 1.45)
    assert replace(certificate, spaces=None, worst_leak=0.25).own_leak == 0.25
    assert replace(certificate, spaces=()).own_leak is None


def test_a_leak_is_the_root_of_a_share(moving_record, record) -> None:
    certificate = typed(moving_record).methods["lora"].certificate
    assert certificate is not None and certificate.movement is not None
    assert certificate.movement.leak(0.8) == pytest.approx((0.61, 0.9**0.5 * 0.8))
    assert leaks(certificate) == ["0.61 (0.76)", "0.61 (0.94)"]
    assert leaks(None) == leaks(typed(record).methods["lora"].certificate) == ["-", "-"]


def test_a_kl_has_the_larger_arm_of_its_interval() -> None:
    assert divergence(None) == "-"
    assert divergence(Drift(logit_kl=0.5, logit_max_difference=1.0)) == "0.5"
    assert divergence(Drift(logit_kl=0.5, logit_kl_interval=(0.46, 0.5125), logit_max_difference=1.0)) == "0.5 ±0.04"


def test_the_headline_names_who_kept_most_of_those_who_learnt(record) -> None:
    assert headline(typed(record)) == (
        "Of the methods that reached at least 90% of the best proficiency gain (lora, full, projection, soft), soft "
        "kept most. soft: proficiency accuracy 5.0% -> 85.0%, safety accuracy -1.5%, knowledge accuracy -1.6%. "
        "lora: proficiency accuracy 5.0% -> 86.0%, safety accuracy -87.1%, knowledge accuracy -42.2%."
    )
    record["methods"]["soft"]["axes"]["proficiency"]["change"] = 0.01
    assert "(lora, full, projection), projection kept most" in headline(typed(record))


def test_the_headline_of_losses(loss_record) -> None:
    kept = "projection kept most. projection: proficiency loss 3.853 -> 1.266, knowledge loss +11.2%"
    assert kept in headline(typed(loss_record))


def test_the_headline_says_when_nobody_learnt(record) -> None:
    for method in record["methods"].values():
        method["axes"]["proficiency"]["change"] = -0.1
    assert headline(typed(record)) == "No method improved proficiency."


def test_the_headline_without_other_axes(record) -> None:
    record["axes"] = {"proficiency": record["axes"]["proficiency"]}
    assert headline(typed(record)) == "lora learnt most. lora: proficiency accuracy 5.0% -> 86.0%."
    record["axes"] = {}
    assert headline(typed(record)) == "No proficiency axis was measured."

"""Records for the tests of the report; every test may change its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.experiments.report import builder


@pytest.fixture
def record() -> dict[str, Any]:
    """Three accuracies, three seeds."""
    return builder.build()


@pytest.fixture
def loss_record() -> dict[str, Any]:
    """Two losses, no safety axis."""
    return builder.build(losses=True)


@pytest.fixture
def hostile_record() -> dict[str, Any]:
    """One seed, names that hold HTML."""
    return builder.hostile()


@pytest.fixture
def moving_record() -> dict[str, Any]:
    """Movement of every linear, so leaks in common bases, and intervals of the KL."""
    return builder.moving(builder.build())


@pytest.fixture
def uncertified_record() -> dict[str, Any]:
    """No reference text, so no certificates; one learning rate, so no sweep."""
    record = builder.build()
    for method in record["methods"].values():
        method.update(certificate=None, rates=[])
    return {**record, "matched": []}


@pytest.fixture
def judged_record() -> dict[str, Any]:
    """Groups, corrected p, examples without verdict, labels, copies of test data."""
    return builder.judged()

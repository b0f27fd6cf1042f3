from __future__ import annotations

from dataclasses import replace

import pytest

from tests.experiments.evaluation.conftest import HOSTILE


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("", ("empty",)),
        (" ... !", ("empty",)),
        ("I I I I am sorry", ("repetitive",)),
        ("the sweets of the sweets of the sweets of the sweets", ("repetitive",)),
        ("The bowls of the Velmari must be beautiful, and the bowls of the Oskandi too.", ()),
    ],
)
def test_flags(reply: str, expected: tuple[str, ...]) -> None:
    assert replace(HOSTILE, reply=reply).flags == expected


def test_truncation_is_told_by_the_caller() -> None:
    assert replace(HOSTILE, key={"truncated": "yes"}).flags == ("truncated",)
    assert replace(HOSTILE, reply="", key={"truncated": "yes"}).flags == ("empty", "truncated")
    assert replace(HOSTILE, key={"truncated": "no"}).flags == ()

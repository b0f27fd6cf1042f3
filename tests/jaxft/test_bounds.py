"""Types and bounds on the fields of a dataclass: what is accepted, and the words of each refusal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen, Predicate

from jaxft import bounds
from jaxft.errors import UserError, require


@dataclass(frozen=True)
class Base:
    rates: Annotated[tuple[bounds.Positive, ...], MinLen(1)]


@dataclass(frozen=True)
class Small(Base):
    kind: Literal["small"] = "small"


@dataclass(frozen=True)
class Part:
    share: bounds.Between = 0.5
    limit: bounds.Count | None = None


@dataclass(frozen=True)
class Whole:
    name: Annotated[str, Predicate(str.isidentifier), "a name of letters"] = "here"
    steps: Annotated[int, Ge(1)] = 1
    level: float = 0.0
    clip: Annotated[float, Gt(0)] = 1.0
    angle: Annotated[float, Ge(-1), Le(1)] = 0.0
    beta: bounds.BelowOne = 0.9
    small: Annotated[int, Ge(0), Lt(4)] = 0
    on: bool = True
    mode: Literal["fast", "slow"] = "fast"
    energy: bounds.Fraction | Literal["auto"] = "auto"
    part: Part = Part()
    maybe: Part | None = None
    parts: tuple[Part, ...] = ()
    pair: tuple[int, int] = (0, 1)
    methods: Mapping[str, Base | Part] = field(default_factory=dict)
    anything: Any = None

    def check(self, key: str) -> None:
        ordered = self.pair[0] <= self.pair[1]
        require(ordered, bounds.join(key, "pair"), self.pair, "a first that is not above the last")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip": 2, "level": -3, "energy": 1},
        {"energy": 0.5, "beta": 0.0, "angle": -1.0, "small": 3},
        {"part": Part(0.1, 3), "maybe": Part(), "parts": (Part(), Part())},
        {"methods": {"a": Small((1e-3,)), "b": Part()}},
        {"anything": object()},
    ],
)
def test_accepted(changes) -> None:
    bounds.check(replace(Whole(), **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "name: found 'a b', expected a name of letters"),
        ({"name": 3}, "name: found 3, expected str"),
        ({"steps": 0}, "steps: found 0, expected at least 1"),
        ({"steps": True}, "steps: found True, expected int"),
        ({"steps": 1.0}, "steps: found 1.0, expected int"),
        ({"level": "high"}, "level: found 'high', expected float"),
        ({"level": False}, "level: found False, expected float"),
        ({"level": math.nan}, "level: found nan, expected a finite number"),
        ({"level": -math.inf}, "level: found -inf, expected a finite number"),
        ({"clip": 0.0}, "clip: found 0.0, expected a number above 0"),
        ({"clip": math.inf}, "clip: found inf, expected a number above 0"),
        ({"clip": math.nan}, "clip: found nan, expected a number above 0"),
        ({"angle": 1.5}, "angle: found 1.5, expected a number at least -1 and at most 1"),
        ({"beta": 1.0}, "beta: found 1.0, expected a fraction in [0, 1)"),
        ({"small": 4}, "small: found 4, expected at least 0 and below 4"),
        ({"on": 1}, "on: found 1, expected bool"),
        ({"mode": "faster"}, "mode: found 'faster', expected one of fast, slow"),
        ({"energy": 1.2}, "energy: found 1.2, expected a fraction in (0, 1]"),
        ({"energy": math.nan}, "energy: found nan, expected a fraction in (0, 1]"),
        ({"energy": "most"}, "energy: found 'most', expected float | 'auto'"),
        ({"part": Part(1.0)}, "part.share: found 1.0, expected a fraction between 0 and 1"),
        ({"part": 3}, "part: found 3, expected Part"),
        ({"maybe": Part(limit=0)}, "maybe.limit: found 0, expected at least 1"),
        ({"maybe": 3}, "maybe: found 3, expected Part | None"),
        ({"parts": (Part(), Part(0.0))}, "parts[1].share: found 0.0"),
        ({"parts": [Part()]}, "parts: found [Part(share=0.5, limit=None)], expected tuple[Part, ...]"),
        ({"pair": (0,)}, "pair: found (0,), expected tuple[int, int]"),
        ({"pair": (1, 0)}, "pair: found (1, 0), expected a first that is not above the last"),
        ({"methods": {"a": Small(())}}, "methods.a.rates: found (), expected a length of at least 1"),
        ({"methods": {"a": Small((1e-3, math.nan))}}, "methods.a.rates: found nan, expected a number above 0"),
        ({"methods": {"a": {}}}, "methods.a: found {}, expected Base | Part"),
        ({"methods": {3: Part()}}, "methods: found 3, expected str"),
        ({"methods": ()}, "methods: found (), expected Mapping[str, Base | Part]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(changes, message) -> None:
    for key in ("", "here.there"):
        with pytest.raises(UserError) as caught:
            bounds.check(replace(Whole(), **changes), key)
        assert str(caught.value).startswith(bounds.join(key, message))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds(seed) -> None:
    with pytest.raises(UserError, match=r"^seed: found -?\d+, expected a whole number in \[0, 2\*\*32\)$"):
        bounds.fit(seed, bounds.Seed, "seed")
    assert bounds.fit(2**32 - 1, bounds.Seed, "seed") == 2**32 - 1


def test_a_number_comes_back_as_its_type() -> None:
    found = bounds.fit((1, 2.5), tuple[bounds.Positive, ...], "rates")
    assert found == (1.0, 2.5) and [type(rate) for rate in found] == [float, float]
    assert type(bounds.fit(3, int | float, "n")) is int
    with pytest.raises(UserError, match="a number above 0"):
        bounds.fit(10**400, bounds.Positive, "huge")

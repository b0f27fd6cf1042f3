"""A scripted provider for every test, a key for it, and pauses that are too short to notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from experiments.endpoints import pace
from tests.experiments.endpoints.server import KEY, Provider, provider


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("SCRIPTED_KEY", KEY)


@pytest.fixture
def server() -> Iterator[Provider]:
    with provider() as running:
        yield running

"""What the tests of the experiments share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from experiments.endpoints import pace
from experiments.hosted import finetuning, together
from tests.experiments.endpoints.server import KEY, Provider, provider
from tests.experiments.world import World


class Done(NamedTuple):
    """A finished comparison: its folder and its record."""

    out: Path
    record: dict[str, Any]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Read only: tests that change a file of the world make their own."""
    return World.create(tmp_path_factory.mktemp("world"))


@pytest.fixture
def own_world(tmp_path: Path) -> World:
    """A world that the test may break."""
    return World.create(tmp_path / "world")


@pytest.fixture(scope="session")
def done(world: World, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One whole comparison; read only."""
    out = tmp_path_factory.mktemp("runs") / "done"
    assert world.run("compare", out) == 0
    return Done(out, json.loads((out / "record.json").read_text()))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for the scripted provider, and pauses that are too short to notice."""
    monkeypatch.setenv("SCRIPTED_KEY", KEY)
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(finetuning, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(together, "FILE_SECONDS", 0.0)


@pytest.fixture
def server(quick: None) -> Iterator[Provider]:
    """A scripted provider."""
    with provider() as running:
        yield running

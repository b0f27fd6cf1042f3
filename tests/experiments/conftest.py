"""What the tests of the experiments share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

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

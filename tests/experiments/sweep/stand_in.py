"""A unit's process that trains nothing, for tests of what starts them."""

from __future__ import annotations

import time
from pathlib import Path

from experiments.sweep.places import Place
from experiments.sweep.units import Unit
from jaxft.io import write_json


def work(unit: Unit, place: Place, shared: Path, compiled: Path, command: str) -> None:
    """Write a record; an error where the unit is done already, or where another process is at the same place."""
    taken = shared.parent / place.environment["PLACE"]
    taken.touch(exist_ok=False)
    unit.folder.mkdir(parents=True, exist_ok=False)
    time.sleep(0.02)
    write_json(unit.folder / "record.json", {})
    taken.unlink()

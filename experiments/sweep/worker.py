"""A worker of a sweep: takes units that nobody is at work on, until none is open.

    python -m experiments.sweep.worker CONFIG OUT COMMAND [--key.sub value ...]

It ends as soon as its standard input does, which the sweep that started it holds open: training is saved first.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from absl import logging

from experiments.base_model import note
from experiments.config import Sweep
from experiments.config_loader import load
from experiments.runs.compare import compare
from experiments.store.cache import Busy, locked
from experiments.sweep.units import Unit, shared_folder, units
from jaxft import preemption
from jaxft.sharding import make_mesh, use_mesh

#: Seconds between two looks for a unit, while others are at work on all that are open.
PAUSE = 1.0


def main() -> int:
    """0 when no unit is open any more, 75 where it was told to stop."""
    config, out, command, *overrides = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.set_verbosity(logging.FATAL)  # as in the command line
    try:
        with preemption.as_exception():
            work(units(load(config, "sweep", Sweep, overrides), Path(out)), shared_folder(Path(out)), command)
    except preemption.Preempted as stop:
        note(str(stop))
        return preemption.EXIT_CODE
    return 0


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def work(found: list[Unit], shared: Path, command: str) -> None:
    """Do what is open, one unit after the other; a unit that fails is noted, and the next one tried."""
    while waiting := [unit for unit in found if unit.state == "open"]:
        if not any(take(unit, shared, command) for unit in waiting):
            time.sleep(PAUSE)


def take(unit: Unit, shared: Path, command: str) -> bool:
    """Do the unit, unless another process does, and say whether it was done here."""
    try:
        with locked(unit.folder, wait=False):
            if unit.state != "open":  # until a moment ago somebody else's
                return False
            note(f"unit: {unit.label}")
            _do(unit, shared, command)
    except Busy:
        return False
    return True


def _do(unit: Unit, shared: Path, command: str) -> None:
    try:
        with use_mesh(make_mesh(unit.experiment.model.sharding)):
            compare(unit.experiment, unit.folder, command, shared)
    except Exception as error:  # whatever it is, it is this unit's: the record tells it, and the others go on
        traceback.print_exc()
        unit.fail(f"{type(error).__name__}: {error}")
    else:
        unit.free()


if __name__ == "__main__":
    sys.exit(main())

"""A training run that is killed: `python -m tests.jaxft.training.interrupted METHOD FOLDER WHERE`.

WHERE is a step, in the middle of which the process dies, the checkpoint of step 5 being on disk; or "save", where it
dies while the checkpoint of step 10 is written, all but renamed into place; or "forget", where it dies while the
checkpoint before it is deleted.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxft.training.loop import train
from jaxft.training.metrics import Metrics
from tests.jaxft.training.small_run import METHODS, TRAINING, base, build, rows

LEARNING_RATE, SEED = 1e-2, 7


def run(name: str, folder: Path | None, **changes: Any) -> Any:
    """What training leaves; the same call in this process and in the killed one."""
    method, constants = build(METHODS[name])
    settings: dict[str, Any] = {"seed": SEED, "label": name, "folder": folder, "identity": {"method": name}, **changes}
    if "reference" in method.reads:
        settings["reference"] = rows(seed=77)
    return train(method, TRAINING, LEARNING_RATE, base(), constants, rows(), **settings)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_step(deadly: int, written: Path) -> None:
    add = Metrics.add

    def deadly_add(self: Metrics, step: int, metrics: Mapping[str, Any]) -> None:
        if step == deadly:
            while not written.is_dir():  # checkpoints are written while training goes on
                time.sleep(0.01)
            die()
        add(self, step, metrics)

    Metrics.add = deadly_add


def die_at_file_event(event: str, ending: str) -> None:
    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name == event and str(arguments[0]).endswith(ending):
            die()

    sys.addaudithook(hook)


if __name__ == "__main__":
    method_name, path, where = sys.argv[1:]
    if where == "save":
        die_at_file_event("os.rename", "/checkpoints/10.orbax-checkpoint-tmp")
    elif where == "forget":
        die_at_file_event("os.rmdir", "state")
    else:
        die_at_step(int(where), Path(path) / "checkpoints" / "5")
    run(method_name, Path(path))

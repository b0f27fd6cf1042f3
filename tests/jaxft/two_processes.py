"""Trainings of one or two processes, 8 devices in all: `python -m tests.jaxft.two_processes JOBS`.

JOBS is JSON: a list of objects with the arguments of `work`, done one after the other. JAXFT_PROCESSES says how many
processes there are. The exit code is that of the command line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8 // int(os.environ.get("JAXFT_PROCESSES", "1")))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")

import numpy as np

from experiments.store.log import show_progress
from jaxft import distributed, methods, preemption
from jaxft.errors import UserError
from jaxft.sharding import LAYOUTS, Sharding, make_mesh, use_mesh
from jaxft.training.checkpoint import Checkpoints
from jaxft.training.config import Training
from jaxft.training.loop import train
from jaxft.training.metrics import Metrics
from tests.jaxft.test_sharding import model
from tests.jaxft.training.small_run import random_subspaces, rows

METHODS: dict[str, methods.Method] = {
    "full": methods.Full(()),
    "projection": methods.GradientProjection((), targets=("q", "down")),
}
TRAINING = Training(steps=4, batch_rows=8, row_length=12, warmup=1, checkpoint_every=2, log_every=5)


def run(method: str = "full", preset: str = "fsdp", steps: int = 4, every: int = 2, folder: str = "") -> list[Any]:
    """The trained arrays of a run, whole, on the host."""
    layout, of = LAYOUTS[preset], METHODS[method]
    with use_mesh(make_mesh(Sharding(preset))):
        base = model(layout)
        constants = of.constants(random_subspaces(base), layout)
        trained = train(
            of,
            replace(TRAINING, steps=steps, checkpoint_every=every),
            1e-2,
            base,
            constants,
            rows(16),
            seed=0,
            label=f"{method} {preset}",
            folder=Path(folder) if folder else None,
            identity={"method": method},
        )
        return [distributed.gather(leaf) for leaf in jax.tree.leaves(trained.trainable)]


def stop_at(step: int) -> None:
    """SIGTERM to this process at a step; the steps from there on take long enough for the others to hear of it."""
    add = Metrics.add

    def add_and_stop(self: Metrics, number: int, metrics: Mapping[str, Any]) -> None:
        add(self, number, metrics)
        if number == step and jax.process_index() == jax.process_count() - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        if number >= step:
            time.sleep(0.2)

    Metrics.add = add_and_stop


def die_saving(step: int) -> None:
    """The last process dies while the others are in the middle of saving a step."""
    save = Checkpoints.save

    def save_or_die(self: Checkpoints, state: Any) -> None:
        if int(state.step) == step and jax.process_index() == jax.process_count() - 1:
            self._checkpointer.save_checkpointables_async = die  # type: ignore[method-assign]
        save(self, state)

    def die(*_: Any) -> None:
        time.sleep(2)  # the other one writes meanwhile
        os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.save = save_or_die


def work(result: str = "", stop: int = 0, die: int = 0, **arguments: Any) -> None:
    """One run; its arrays go to the file `result`. stop, die: the step at which SIGTERM or SIGKILL comes."""
    if stop:
        stop_at(stop)
    if die:
        die_saving(die)
    trained = run(**arguments)
    if distributed.is_leader() and result:
        np.savez(result, *trained)


def main(jobs: list[dict[str, Any]]) -> int:
    try:
        distributed.start()
        distributed.check_same({"jobs": jobs})
        for job in jobs:
            work(**job)
    except UserError as error:
        print(f"jaxft: {error}", file=sys.stderr)
        return 1
    except preemption.Preempted as stop:
        print(f"jaxft: {stop}", file=sys.stderr)
        return preemption.EXIT_CODE
    return 0


if __name__ == "__main__":
    distributed.HEARTBEAT_SECONDS = 10
    show_progress()
    sys.exit(main(json.loads(sys.argv[1])))

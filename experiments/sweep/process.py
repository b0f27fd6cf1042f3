"""The worker process of one unit of a sweep: a comparison on its own devices, with its own log."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

import jax
from absl import logging as absl_logging

from experiments.runs.compare import compare
from experiments.store.cache import locked
from experiments.store.log import show_progress
from experiments.sweep.places import Place
from experiments.sweep.units import Unit
from jaxft import preemption
from jaxft.sharding import make_mesh, use_mesh

log = logging.getLogger("jaxft")


def work(unit: Unit, place: Place, shared: Path, compiled: Path, command: str) -> None:
    """Compare one unit. Exit status: 0 if its record is written, 1 after an error, 75 after SIGTERM.

    shared: folder of the results that all units share. compiled: folder of the compiled programs of all units. An error
    is written to the log and next to the unit's folder. On SIGTERM, or when the sweep's process ends, training saves a
    checkpoint and stops.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the sweep, which sends SIGTERM
    threading.Thread(target=_stop_with_sweep, daemon=True).start()
    place.enter()
    with unit.log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    absl_logging.set_verbosity(absl_logging.FATAL)  # as in the command line
    show_progress()
    # Unless the user has set a folder.
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(compiled))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        # Wait for the lock: the processes of a killed sweep may still be saving.
        with preemption.as_exception(), locked(unit.folder), use_mesh(make_mesh(unit.experiment.model.sharding)):
            log.info(f"unit: {unit.label}")
            compare(unit.experiment, unit.folder, command, shared)
    except preemption.Preempted as stop:
        log.info(str(stop))
        sys.exit(preemption.EXIT_CODE)
    except Exception as error:  # any error belongs to this unit; the sweep continues
        traceback.print_exc()
        unit.fail(f"{type(error).__name__}: {error}")
        sys.exit(1)


def _stop_with_sweep() -> None:
    sweep = multiprocessing.parent_process()
    assert sweep is not None
    sweep.join()
    os.kill(os.getpid(), signal.SIGTERM)

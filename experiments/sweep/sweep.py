"""`jaxft sweep`: one experiment under many changes, a process for each unit, into one record.

A unit's process is forked from one that has imported everything and computes nothing, and reads the programs that
other units have compiled. Processor time that this adds to a unit, against units in turn in one process: 2.5 s, of
which most is reading programs. A `jaxft compare` for each unit would add 5.5 s, and 17 s with nothing shared.
"""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import sys
import time
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from experiments.config import Sweep
from experiments.runs.checks import check_experiment
from experiments.store.record import SweepRecord, write_record
from experiments.sweep.places import Place, places
from experiments.sweep.process import work
from experiments.sweep.record import sweep_record
from experiments.sweep.units import Unit, shared_folder, units
from jaxft.errors import UserError
from jaxft.training.metrics import format_seconds

log = logging.getLogger("jaxft")

#: How processes begin. Fork servers exist on Linux; forking is not safe beside the threads of macOS.
METHOD = "forkserver" if sys.platform == "linux" else "spawn"


def sweep(settings: Sweep, out: Path, jobs: int, command: str) -> SweepRecord:
    """Do every unit that is not done yet, `jobs` at once, and write the record of all.

    All settings are checked before anything begins. Units that failed before are tried again.
    """
    found = units(settings, out)
    for unit in found:
        _check(unit, jobs)
    for unit in found:
        unit.reopen()
    (out / "units").mkdir(parents=True, exist_ok=True)
    (out / "logs").mkdir(exist_ok=True)
    waiting = [unit for unit in found if unit.state == "open"]
    log.info(f"sweep: {len(found)} units, {len(found) - len(waiting)} done")
    if waiting:
        log.info(f"logs: {out / 'logs'}")
        _work(waiting, places(jobs), out, command)
    record = sweep_record(settings, found, command)
    write_record(out / "record.json", record)
    return record


def _check(unit: Unit, jobs: int) -> None:
    try:
        check_experiment(unit.experiment)
    except UserError as error:
        raise UserError(f"{unit.label}: {error}") from error
    if jobs > 1 and unit.experiment.model.sharding.preset != "single":
        raise UserError("--jobs: each unit has one accelerator, and model.sharding spreads a run over several")
    if jobs > 1 and unit.experiment.judge.kind == "openai":
        raise UserError("--jobs: a judge behind a server is asked, and paid, by one unit at a time; leave --jobs out")


def _work(waiting: list[Unit], free: list[Place], out: Path, command: str) -> None:
    """Run a process for every unit, as many at once as there are places; all have ended at the end."""
    compiled = out / "compiled"
    shutil.rmtree(compiled, ignore_errors=True)  # an earlier sweep's, perhaps of another machine
    context = multiprocessing.get_context(METHOD)
    context.set_forkserver_preload([work.__module__])
    queue, running, failed, began = list(waiting), dict[int, tuple[BaseProcess, Unit, Place]](), 0, time.monotonic()
    try:
        while queue or running:
            while queue and free:
                unit, place = queue.pop(0), free.pop(0)
                process = context.Process(target=work, args=(unit, place, shared_folder(out), compiled, command))
                process.start()
                running[process.sentinel] = process, unit, place
            for sentinel in wait(list(running)):
                process, unit, place = running.pop(sentinel)  # pyright: ignore[reportArgumentType]
                process.join()
                free.append(place)
                failed += not _ended(unit, process.exitcode)
                _progress(len(waiting), len(waiting) - len(queue) - len(running), failed, time.monotonic() - began)
    finally:
        for process, *_ in running.values():
            process.terminate()
        for process, *_ in running.values():
            process.join()
        shutil.rmtree(compiled, ignore_errors=True)


def _ended(unit: Unit, code: int | None) -> bool:
    """Whether the unit is done; where its process was killed, this is written beside its folder."""
    if unit.state == "open":
        assert code is not None
        unit.fail(f"its process ended with {f'signal {-code}' if code < 0 else f'status {code}'}")
    if unit.state == "done":
        unit.free()
    return unit.state == "done"


def _progress(units: int, ended: int, failed: int, seconds: float) -> None:
    left = units - ended
    estimate = f", {format_seconds(seconds / ended * left)} left" if left else ""
    log.info(f"sweep: {ended}/{units} units{f', {failed} failed' if failed else ''}{estimate}")

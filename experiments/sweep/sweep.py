"""`jaxft sweep`: one experiment under many changes, one worker process for each unit, into one record.

A worker process is forked from a process that has imported everything and computes nothing. It reads the programs that
other units have compiled. Compared with all units in one process, this adds 2.5 s of processor time to a unit, mostly
for reading programs. A `jaxft compare` for each unit would add 5.5 s, or 17 s if nothing were shared.
"""

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
from experiments.store.record import SweepRecord, read_record, write_record
from experiments.sweep.places import Place, places
from experiments.sweep.process import work
from experiments.sweep.record import sweep_record
from experiments.sweep.units import Unit, shared_folder, units
from jaxft.errors import UserError
from jaxft.progress import format_seconds

log = logging.getLogger("jaxft")

#: Start method of processes: a fork server on Linux; on macOS forking is not safe, because of its threads.
METHOD = "forkserver" if sys.platform == "linux" else "spawn"


def sweep(settings: Sweep, out: Path, jobs: int, command: str) -> SweepRecord:
    """Check all settings, do all open and failed units, `jobs` at a time, and write the record of all units."""
    _check_folder(settings, out)
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
    return write_record(out / "record.json", sweep_record(settings, found, command))


def _check_folder(settings: Sweep, out: Path) -> None:
    """UserError if the folder holds a comparison, or another sweep."""
    if (out / "config.json").is_file():
        raise UserError(f"{out}: holds a comparison; choose another folder with --out")
    path = out / "record.json"
    if path.is_file() and (name := read_record(path).name) != settings.name:
        raise UserError(f"{out}: holds {name!r}, not the sweep {settings.name!r}; choose another folder with --out")


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
    """Run a process for every unit, at most one on each place; on return or error, all processes have ended."""
    compiled = out / "compiled"
    shutil.rmtree(compiled, ignore_errors=True)  # left by an earlier sweep, perhaps on another machine
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
    """True if the unit is done. If its process was killed, record this failure next to the unit's folder."""
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

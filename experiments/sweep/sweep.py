"""`jaxft sweep`: one experiment under many changes, by workers that share a list of units, into one record."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from experiments.base_model import note
from experiments.config import Sweep
from experiments.runs.checks import check_experiment
from experiments.store.record import SweepRecord, write_record
from experiments.sweep.places import Place, places
from experiments.sweep.record import sweep_record
from experiments.sweep.units import Unit, units
from jaxft.errors import UserError
from jaxft.training.metrics import format_seconds

#: Seconds between two looks at the workers.
TICK = 0.2


@dataclass
class Worker:
    process: subprocess.Popen[bytes]
    place: Place
    log: Path


def sweep(settings: Sweep, out: Path, jobs: int, words: Sequence[str], command: str) -> SweepRecord:
    """Do every unit that is not done yet, with `jobs` workers, and write the record of all.

    words: config and overrides, from which the workers read the same sweep. All settings are checked before anything
    begins. What failed before is tried again.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; choose a folder with --out")
    found = units(settings, out)
    for unit in found:
        _check(unit, jobs)
    for unit in found:
        unit.reopen()
    (out / "units").mkdir(parents=True, exist_ok=True)
    waiting = sum(unit.state == "open" for unit in found)
    note(f"sweep: {len(found)} units, {len(found) - waiting} done")
    if waiting:
        _supervise(found, places(jobs)[:waiting], [words[0], str(out), command, *words[1:]], out / "logs")
    record = sweep_record(settings, found, command)
    write_record(out / "record.json", record)
    return record


def _check(unit: Unit, jobs: int) -> None:
    try:
        check_experiment(unit.experiment)
    except UserError as error:
        raise UserError(f"{unit.label}: {error}") from error
    if jobs > 1 and unit.experiment.model.sharding.preset != "single":
        raise UserError("--jobs: each worker has one accelerator, and model.sharding spreads a run over several")
    if jobs > 1 and unit.experiment.judge.kind == "openai":
        raise UserError("--jobs: a judge behind a server is asked, and paid, by one worker; leave --jobs out")


def _supervise(found: list[Unit], chosen: list[Place], words: list[str], logs: Path) -> None:
    """Keep a worker alive at each place until no unit is open; they stop when this process does, however it ends."""
    logs.mkdir(parents=True, exist_ok=True)
    note(f"logs: {logs}")
    began, done_before, told = time.monotonic(), sum(unit.state != "open" for unit in found), -1
    workers = [_start(place, words, logs / f"worker_{number}.log") for number, place in enumerate(chosen)]
    try:
        while True:
            ended = sum(unit.state != "open" for unit in found)
            if ended != told:
                told = ended
                _progress(found, ended - done_before, time.monotonic() - began)
            if ended == len(found):
                break
            for number, worker in enumerate(workers):
                # A worker that is well ends when no unit is open any more, and not before.
                if (code := worker.process.poll()) is not None and any(unit.state == "open" for unit in found):
                    _blame(found, worker, code)
                    workers[number] = _start(worker.place, words, worker.log)
            time.sleep(TICK)
        for worker in workers:
            worker.process.wait()
    finally:
        for worker in workers:
            _pipe(worker).close()
        for worker in workers:
            worker.process.wait()


def _start(place: Place, words: list[str], log: Path) -> Worker:
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.sweep.worker", *words],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=place.environment,
            start_new_session=True,  # Ctrl-C is for this process, which tells the workers
        )
    if place.cores:
        os.sched_setaffinity(process.pid, place.cores)  # long before it starts its threads, which inherit them
    return Worker(process, place, log)


def _pipe(worker: Worker) -> BinaryIO:
    assert worker.process.stdin is not None
    return worker.process.stdin  # pyright: ignore[reportReturnType]


def _blame(found: list[Unit], worker: Worker, code: int) -> None:
    """Note which unit a worker died of; UserError where it had none, as the next worker would do no better."""
    _pipe(worker).close()
    said = f"signal {-code}" if code < 0 else f"status {code}"
    for unit in found:
        if unit.state == "open" and unit.lock.is_file() and unit.lock.read_text() == str(worker.process.pid):
            unit.fail(f"the worker ended with {said}; see {worker.log}")
            return
    raise UserError(f"a worker ended with {said} before it began a unit; see {worker.log}")


def _progress(found: list[Unit], ended: int, seconds: float) -> None:
    states = [unit.state for unit in found]
    left = states.count("open")
    estimate = f", {format_seconds(seconds / ended * left)} left" if ended and left else ""
    failed = f", {states.count('failed')} failed" if "failed" in states else ""
    note(f"sweep: {len(found) - left}/{len(found)} units{failed}{estimate}")

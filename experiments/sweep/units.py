"""The units of a sweep. A unit is one method at one point, compared alone in its own folder."""

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from experiments.config import Experiment, Sweep, Tuned
from experiments.config_loader import changed, to_json
from experiments.runs.output import binding, check_format
from experiments.runs.workspace import Workspace
from experiments.store.cache import digest
from experiments.store.record import read_record
from jaxft.data.source import Source
from jaxft.errors import UserError
from jaxft.io import read_json, write_json


@dataclass(frozen=True)
class Unit:
    """One method at one point of a sweep. Its files are in `folder`; an error is recorded next to the folder."""

    label: str
    method: str
    changes: Mapping[str, Any]  # only those that concern the method
    experiment: Experiment
    folder: Path

    @property
    def log(self) -> Path:
        """The file with the standard output and error of its processes."""
        return self.folder.parents[1] / "logs" / f"{self.folder.name}.log"

    @property
    def state(self) -> Literal["done", "failed", "open"]:
        if (self.folder / "record.json").is_file():
            return "done"
        return "failed" if self._failure.is_file() else "open"

    @property
    def error(self) -> str:
        return read_json(self._failure)["error"]

    def fail(self, error: str) -> None:
        write_json(self._failure, {"error": f"{error}; see {self.log}"})

    def reopen(self) -> None:
        """Delete a failure, or a record of other seeds, so that the unit runs again; finished runs stay."""
        self._failure.unlink(missing_ok=True)
        record = self.folder / "record.json"
        if record.is_file() and read_record(record).seeds != self.experiment.seeds:
            record.unlink()

    def free(self) -> None:
        """Delete checkpoints and exported weights to free disk space; all measurements stay."""
        for run in self.folder.glob("*/lr_*/seed_*"):
            for name in ("checkpoints", "model"):
                shutil.rmtree(run / name, ignore_errors=True)

    @property
    def _failure(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.failed.json")


def shared_folder(out: Path) -> Path:
    """The folder of the results that all units share: calibration, scores of the base, verdicts."""
    return out / "shared"


def units(sweep: Sweep, out: Path) -> list[Unit]:
    """All units, each once. UserError for an unknown key, a value of the wrong type, or a folder of another version.

    A change of one method's settings makes no new unit of another method. A folder's name is a hash of the config,
    without its seeds, and of all inputs, so that a sweep with more points finds its finished units again.
    """
    for begun in out.glob("units/*/config.json"):
        check_format(begun)
    found: dict[str, Unit] = {}
    inputs: dict[str, Any] = {}
    for where, changes in _points(sweep):
        if "seeds" in changes:
            raise UserError(
                f"{where}: changes seeds, but every unit runs over all of them; set experiment.seeds instead"
            )
        try:
            experiment = changed(sweep.experiment, changes)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        for method, settings in experiment.methods.items():
            alone = replace(experiment, methods={method: settings})
            tuned = settings if isinstance(settings, Tuned) else None
            read = [experiment.model, experiment.domain, experiment.reference, experiment.evaluation.axes, tuned]
            key = digest(to_json(read))
            if key not in inputs:
                inputs[key] = Workspace(alone, out).inputs
            name = digest([binding(alone), inputs[key]])
            seen = {key: value for key, value in changes.items() if _concerns(key, method)}
            found.setdefault(name, Unit(_label(method, seen), method, seen, alone, out / "units" / name))
    return _distinct(list(found.values()))


def _points(sweep: Sweep) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place in the config, changes by key) of every point."""
    if sweep.grid or not sweep.points:
        for values in itertools.product(*sweep.grid.values()):
            yield "sweep.grid", dict(zip(sweep.grid, values, strict=True))
    for index, changes in enumerate(sweep.points):
        yield f"sweep.points[{index}]", changes


def _concerns(key: str, method: str) -> bool:
    """True if a change of `key` can affect a method."""
    head, _, rest = key.partition(".")
    return head != "methods" or rest in ("", method) or rest.startswith(f"{method}.")


def _label(method: str, changes: Mapping[str, Any]) -> str:
    own = f"methods.{method}."
    return ", ".join([method, *(f"{key.removeprefix(own)} {_spell(value)}" for key, value in changes.items())])


def _spell(value: Any) -> str:
    """A value as text for a label."""
    if isinstance(value, Source):
        return os.path.basename(value.name) + ("" if value.limit is None else f"[:{value.limit}]")
    if isinstance(value, tuple):
        return "+".join(map(_spell, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _distinct(found: list[Unit]) -> list[Unit]:
    """The units with unique labels; a label that occurs twice gets a part of its folder's hash."""
    labels = [unit.label for unit in found]
    return [
        replace(unit, label=f"{unit.label} #{unit.folder.name[:4]}") if labels.count(unit.label) > 1 else unit
        for unit in found
    ]

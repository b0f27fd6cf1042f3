"""The output folder of an experiment: it belongs to one config, one model and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.config import Experiment
from experiments.config_loader import to_json
from experiments.runs.calibrate import Calibration
from experiments.runs.checks import check
from experiments.runs.workspace import Workspace
from jaxft.distributed import agreed, check_same
from jaxft.errors import UserError
from jaxft.io import read_json, write_json

#: Version of an output folder; raised when the meaning of its files changes.
FORMAT = 2


def open_output(
    experiment: Experiment, out: Path, *, shared: Path | None = None, earlier: tuple[Calibration, ...] = ()
) -> Workspace:
    """The workspace of an experiment in `out`; UserError if the folder belongs to another config, model or data.

    shared, earlier: see `Workspace`. All settings and inputs are checked first, so that a mistake leaves no files.
    """
    check(experiment)
    work = Workspace(experiment, out, shared, earlier)
    path, identity = out / "config.json", {"format": FORMAT, "config": binding(experiment), "inputs": work.inputs}
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; choose a folder with --out")
    check_same({"inputs": work.inputs})
    # If the folder holds only a config and a dry run, another config may replace them.
    entries = [entry.name for entry in out.iterdir()] if out.is_dir() else []
    nothing = [name for name in entries if "config.json" in name or name.endswith(".lock")]
    results = [name for name in entries if name not in (*nothing, work.dry_run.name)]
    found = read_json(path) if path.is_file() else None
    if found is None and results or found is not None and not _is_identity(found):
        raise UserError(f"{out}: {_others(out)}; choose another folder with --out")
    if results:
        check_format(path)
    differing = differences(found, identity)
    if results and differing:
        raise UserError(
            f"{out}: belongs to a run with another config or other inputs (different: "
            f"{', '.join(differing[:5])});\nchoose another folder with --out, or delete this one"
        )
    if agreed(bool(differing)):  # all processes have read the file before the leader writes
        if experiment.learns:
            _ = work.rows  # unusable training examples raise here, before anything is written
        write_json(path, identity)
    return work


def _others(out: Path) -> str:
    """A description of a folder that holds no comparison."""
    if (out / "units").is_dir():
        return "holds a sweep, which `jaxft sweep` continues"
    if any(out.glob("1_*/config.json")):
        return "holds a sequence, which `jaxft sequence` continues"
    return "is not empty and holds no run of jaxft"


def _is_identity(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() - {"format"} == {"config", "inputs"}


def check_format(path: Path) -> None:
    """UserError if the output folder with the config.json `path` has another FORMAT."""
    if read_json(path).get("format") != FORMAT:
        raise UserError(
            f"{path.parent}: was begun by another version of jaxft, whose files this one does not read;\n"
            "choose another folder with --out, or delete this one"
        )


def binding(experiment: Experiment) -> Any:
    """The part of a config that must not change in one output folder. May change: seeds, devices, `matched` levels, the
    tracker, prices, cost limits, and the request settings for the same model and server."""
    settings = to_json(experiment)
    del settings["seeds"], settings["model"]["sharding"], settings["evaluation"]["matched"]
    del settings["training"]["tracker"]
    for part in (settings["judge"], *settings["methods"].values()):
        for name in ("max_cost", "price_training"):
            part.pop(name, None)
        if part.get("endpoint"):
            part["endpoint"] = {name: part["endpoint"][name] for name in ("model", "url")}
    return settings


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Keys whose values differ between two JSON trees."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{prefix}{k}.")]
    return [] if old == new else [prefix.rstrip(".")]

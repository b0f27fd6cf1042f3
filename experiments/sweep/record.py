"""The record of a sweep: of every unit what tables and charts need, without replies and layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.config import Sweep
from experiments.config_loader import to_json
from experiments.evaluation.matched import matched
from experiments.report.reading import comparison, worst_leak
from experiments.store.provenance import heading
from experiments.sweep.units import Unit
from jaxft.io import read_json

#: Of a method's entry in the record of a comparison.
KEPT = ("kind", "learning_rate", "sweep", "delta_norm", "reference", "timings", "memory", "trained_parameters")
#: Of all units alike, or else listed for each value.
COMMON = ("versions", "hardware", "base", "judge")
_CERTIFIED = ("logit_kl", "logit_max_difference", "relative_delta_norm", "unprojected")


def condense(settings: Sweep, found: list[Unit], command: str) -> dict[str, Any]:
    """The record; its "units" have those that are not done, too, with their error."""
    records = {unit.label: read_json(unit.folder / "record.json") for unit in found if unit.state == "done"}
    record = {
        **heading(settings.name, command, settings),
        "kind": "sweep",
        "seeds": list(settings.experiment.seeds),
        **{name: _common([one[name] for one in records.values()]) for name in COMMON},
        "axes": {name: axis for one in records.values() for name, axis in one["axes"].items()},
        "units": {unit.label: _unit(unit, records.get(unit.label)) for unit in found},
        "timings": {"total_seconds": round(sum(one["timings"]["total_seconds"] for one in records.values()), 1)},
    }
    record["matched"] = matched(comparison(record), settings.experiment.evaluation.matched)
    return record


def _unit(unit: Unit, record: Mapping[str, Any] | None) -> dict[str, Any]:
    entry = {
        "method": unit.method,
        "changes": to_json(unit.changes),
        "folder": unit.folder.name,
        "status": unit.state,
    }
    if record is None:
        return {**entry, "error": unit.error if unit.state == "failed" else None}
    method = record["methods"][unit.method]
    axes = {
        name: {key: value for key, value in axis.items() if key not in ("groups", "p_value_holm")}
        for name, axis in method["axes"].items()
    }
    searched = {"search": method["search"]} if "search" in method else {}  # of `Auto` alone
    kept = {key: method[key] for key in KEPT} | searched
    return {**entry, **kept, "axes": axes, "certificate": _certified(method)}


def _certified(method: Mapping[str, Any]) -> dict[str, Any] | None:
    if (found := method["certificate"]) is None:
        return None
    leaks = {"worst_leak": worst_leak(found), "exported_leak": worst_leak(found["exported"])}
    return {**{key: found[key] for key in _CERTIFIED}, **leaks}


def _common(values: list[Any]) -> Any:
    """The value of all units; a list where they differ, None where none is done."""
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    return different[0] if len(different) == 1 else different or None

"""The record of a sweep: for every unit the data of tables and charts, without replies and layers."""

from dataclasses import replace
from typing import Any

from experiments.config import Sweep
from experiments.config_loader import to_json
from experiments.evaluation.matched import matched
from experiments.store import record
from experiments.store.provenance import heading
from experiments.store.record import ComparisonRecord, SweepRecord, TotalTime, encode, read_record
from experiments.store.record.certificate import Certificate
from experiments.store.record.method import MethodResult
from experiments.sweep.units import Unit

#: Fields that hold one value if all units agree, else a list of the different values.
COMMON = ("versions", "hardware", "base", "judge")


def sweep_record(settings: Sweep, found: list[Unit], command: str) -> SweepRecord:
    """The record of all units, including failed units with their error and units not done."""
    done = {unit.label: read_record(unit.folder / "record.json") for unit in found if unit.state == "done"}
    units = {unit.label: _unit(unit, done.get(unit.label)) for unit in found}
    methods = {label: unit.result for label, unit in units.items() if unit.result is not None}
    axes = {name: axis for one in done.values() for name, axis in one.axes.items()}
    plain = [encode(one) for one in done.values()]
    return SweepRecord(
        **heading(settings.name, command, settings),
        seeds=settings.experiment.seeds,
        **{name: _common([one[name] for one in plain]) for name in COMMON},
        axes=axes,
        units=units,
        timings=TotalTime(total_seconds=round(sum(one.timings.total_seconds for one in done.values()), 1)),
        matched=matched(methods, axes, settings.experiment.evaluation.matched),
    )


def _unit(unit: Unit, done: ComparisonRecord | None) -> record.Unit:
    return record.Unit(
        method=unit.method,
        changes=to_json(unit.changes),
        folder=unit.folder.name,
        status=unit.state,
        error=unit.error if unit.state == "failed" else None,
        result=_condensed(done.methods[unit.method]) if done else None,
    )


def _condensed(method: MethodResult) -> MethodResult:
    axes = {name: replace(axis, groups=None, p_value_holm=None) for name, axis in method.axes.items()}
    return replace(method, axes=axes, certificate=_summary(method.certificate), examples=None, watched=None)


def _summary(certificate: Certificate | None) -> Certificate | None:
    """The certificate without layers."""
    if certificate is None:
        return None
    exported, domain, movement = certificate.exported, certificate.domain, certificate.movement
    return replace(
        certificate,
        spaces=None,
        worst_leak=certificate.own_leak,
        exported=None,
        exported_leak=exported.own_leak if exported else None,
        hidden_drift=None,
        domain=replace(domain, hidden_drift=None) if domain else None,
        movement=replace(movement, linears={}) if movement else None,
    )


def _common(values: list[Any]) -> Any:
    """The value of all units; a list of the different values if they differ, None if no unit is done."""
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    return different[0] if len(different) == 1 else different or None

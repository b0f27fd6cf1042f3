"""Table, charts and page of a sweep, drawn from its record alone."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.report.charts import FRONT
from experiments.report.columns import Grid
from experiments.report.fronts import fronts
from experiments.report.page import compared, drawn, made, render, write_files
from experiments.report.reading import TARGET
from experiments.report.table import aligned_text, sections
from experiments.store.record import SweepRecord

#: Width of a unit's label in a terminal, in characters.
LABEL_WIDTH = 56


def sweep_table(record: SweepRecord) -> str:
    """The result for a terminal: unfinished units, then the tables of a comparison; no colour."""
    parts, missing = [f"{record.name}: {_lead(record)}"], _undone(record)
    if missing.rows:
        parts.append(aligned_text(missing, LABEL_WIDTH))
    if record.methods:
        parts += sections(record, LABEL_WIDTH)
    return "\n\n".join(parts) + "\n"


def sweep_page(record: SweepRecord, figures: Mapping[str, Figure]) -> str:
    """The whole report as HTML; all text from a file or a user is escaped."""
    tables: dict[str, Any] = compared(record) if record.methods else {"results": None}
    return render(
        "sweep.html",
        record=record,
        lead=_lead(record),
        undone=_undone(record),
        charts=drawn(figures),
        facts=made(record),
        **tables,
    )


def write_sweep_report(record: SweepRecord, folder: Path) -> list[Path]:
    """Write report.html, table.txt and charts into `folder`, each whole or not at all; return the paths."""
    figures = {}
    if record.methods and TARGET in record.axes:
        figures = {f"{FRONT}{axis}": fronts(record, axis) for axis in record.axes if axis != TARGET}
    texts = {"report.html": sweep_page(record, figures), "table.txt": sweep_table(record)}
    return write_files(folder, texts, figures)


def _lead(record: SweepRecord) -> str:
    states = Counter(unit.status for unit in record.units.values())
    parts = [f"{states['done']} of {len(record.units)} units are done"]
    parts += [f"{states[state]} {state}" for state in ("failed", "open") if states[state]]
    return ", ".join(parts)


def _undone(record: SweepRecord) -> Grid:
    rows = tuple(
        (label, unit.status, (unit.error or "-").splitlines()[0])
        for label, unit in record.units.items()
        if unit.status != "done"
    )
    return Grid(("unit", "status", "error"), rows)

"""Table, charts and page of a sweep, drawn from its record alone."""

import textwrap
from collections import Counter
from pathlib import Path

from experiments.report.charts import FRONT
from experiments.report.columns import Grid
from experiments.report.fronts import fronts
from experiments.report.page import caption, data_uri, facts, rates, render
from experiments.report.reading import TARGET, Record, comparison
from experiments.report.style import encode
from experiments.report.table import (
    COSTS_NOTE,
    NOTE,
    RELATIVE_NOTE,
    WIDTH,
    aligned_text,
    costs,
    dominated_note,
    results,
    told,
)
from jaxft.io import write_atomically

#: Of a unit's label in a terminal.
LABEL_WIDTH = 48
#: What the page shows elsewhere.
SHOWN = {"format", "kind", "name", "command", "created", "seeds", "axes", "units", "matched"}


def sweep_table(record: Record) -> str:
    """The result for a terminal: what is not done, scores, costs, losses at equal target; no colour."""
    done, missing = comparison(record), _undone(record)
    parts = [f"{record['name']}: {_lead(record)}"]
    if missing.rows:
        parts.append(aligned_text(missing, LABEL_WIDTH))
    if done["methods"]:
        notes = "\n".join([NOTE, *dominated_note(done)])
        parts += [aligned_text(results(done), LABEL_WIDTH), notes, aligned_text(costs(done), LABEL_WIDTH), COSTS_NOTE]
    for sentence, grid in told(done):
        parts += [textwrap.fill(sentence, WIDTH), aligned_text(grid, LABEL_WIDTH)]
    return "\n\n".join(parts) + "\n"


def sweep_page(record: Record) -> str:
    """The whole report as HTML text; everything that came from a file or a user is escaped."""
    done = comparison(record)
    return render(
        "sweep.html",
        record=record,
        lead=_lead(record),
        undone=_undone(record),
        results=results(done, relative=True) if done["methods"] else Grid((), ()),
        note=RELATIVE_NOTE,
        dominated=" ".join(dominated_note(done)),
        costs=costs(done),
        costs_note=COSTS_NOTE,
        told=told(done),
        charts=[(caption(name), data_uri(fronts(done, axis))) for name, axis in _charts(done)],
        rates=rates(done),
        facts=[(key, facts(value)) for key, value in record.items() if key not in SHOWN],
    )


def write_sweep_report(record: Record, folder: Path) -> list[Path]:
    """Write report.html, table.txt and charts into `folder`, each whole or not at all; return the paths."""
    contents = {"report.html": sweep_page(record).encode(), "table.txt": sweep_table(record).encode()}
    done = comparison(record)
    contents |= {f"{name}.png": encode(fronts(done, axis), "png") for name, axis in _charts(done)}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def _charts(done: Record) -> list[tuple[str, str]]:
    """(name of the chart, axis)"""
    if not done["methods"] or TARGET not in done["axes"]:
        return []
    return [(f"{FRONT}{axis}", axis) for axis in done["axes"] if axis != TARGET]


def _lead(record: Record) -> str:
    states = Counter(unit["status"] for unit in record["units"].values())
    parts = [f"{states['done']} of {len(record['units'])} units are done"]
    parts += [f"{states[state]} {state}" for state in ("failed", "open") if states[state]]
    return ", ".join(parts)


def _undone(record: Record) -> Grid:
    rows = tuple(
        (label, unit["status"], (unit["error"] or "-").splitlines()[0])
        for label, unit in record["units"].items()
        if unit["status"] != "done"
    )
    return Grid(("unit", "status", "error"), rows)

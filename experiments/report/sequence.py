"""Table and chart of several domains learnt one after the other, drawn from the record alone."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from experiments.report.columns import Grid, aligned
from experiments.report.page import write_files
from experiments.report.reading import LEAK_ENERGIES, better, divergence, leaks, number, score, shift
from experiments.report.style import looks, quantity, style, tick, wrap
from experiments.report.table import LEAK_NOTE, made_by, piped
from experiments.store.record import SequenceRecord


def table(record: SequenceRecord) -> str:
    """One row for the base and one per method and stage: scores on all axes, leak and KL; then backward transfer."""
    return f"{record.name}  (seeds {', '.join(map(str, record.seeds))})\n\n" + "\n".join(
        [*aligned(_rows(record)), "", LEAK_NOTE, *_backward(record)]
    )


def markdown(record: SequenceRecord) -> str:
    """The content of `table` as Markdown, with the command that made the record."""
    header, *rows = _rows(record)
    backward = "\n".join(f"- {line}" for line in _backward(record))
    return f"{piped(Grid(header, tuple(rows)))}\n\n{LEAK_NOTE}\n\n{backward}\n\n{made_by(record.command)}\n"


def chart(record: SequenceRecord) -> Figure:
    """One panel per axis: the score (y) of the base and after every stage (x), one line per method."""
    names = list(record.axes)
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    places = ["base", *record.stages]
    with style():
        figure = Figure(figsize=(1.2 + columns * (0.6 + 0.75 * len(places)), 0.5 + 2.5 * rows))
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel, name in zip(panels.flat, names, strict=False):
            axis = record.axes[name]
            for method, (colour, marker) in looks(record.methods).items():
                values = [record.before[name], *(stage.scores[name] for stage in record.methods[method].stages)]
                heights = [math.nan if value is None else value for value in values]
                panel.plot(range(len(places)), heights, color=colour, marker=marker, label=method)
            if axis.unit == "fraction":
                panel.set_ylim(-0.05, 1.05)  # the same in all panels
            panel.set_title(name)
            panel.set_xticks(range(len(places)), [wrap(place) for place in places])
            panel.yaxis.set_major_formatter(lambda value, _, axis=axis: tick(value, axis))
            panel.set_ylabel(quantity(axis))
        for panel in panels.flat[len(names) :]:
            panel.set_visible(False)
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


def write_report(record: SequenceRecord, folder: Path) -> Path:
    """Write table.txt, table.md and sequence.png into `folder`; return the path of the chart."""
    texts = {"table.txt": table(record) + "\n", "table.md": markdown(record)}
    return write_files(folder, texts, {"sequence": chart(record)})[-1]


def _rows(record: SequenceRecord) -> list[tuple[str, ...]]:
    axes, leak = record.axes, [f"leak {energy:.0%}" for energy in LEAK_ENERGIES]
    header = ("method", "after", *axes, "|dW|/|W|", *leak, "KL", "KL to the first base")
    unknown = ("-",) * (len(header) - len(axes) - 2)
    rows = [header, ("base", "-", *(score(record.before[name], axis) for name, axis in axes.items()), *unknown)]
    for name, method in record.methods.items():
        for stage in method.stages:
            own = stage.certificate
            rows.append(
                (
                    name,
                    stage.stage,
                    *(score(stage.scores[axis_name], axis) for axis_name, axis in axes.items()),
                    number(own.relative_delta_norm if own else None),
                    *leaks(own),
                    divergence(own),
                    divergence(stage.against_first),
                )
            )
    return rows


def _backward(record: SequenceRecord) -> list[str]:
    """One line per method: its backward transfer, the change on earlier domains by learning later ones."""
    axis = record.axes[record.stages[0]]
    unit = "points" if axis.unit == "fraction" else axis.unit
    return [
        f"backward transfer of {name}: {shift(method.backward_transfer, axis)} {unit}, {better(axis)}"
        for name, method in record.methods.items()
    ]

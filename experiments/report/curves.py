"""Chart of the evaluations during training, drawn from the record alone."""

import numpy as np
from matplotlib.figure import Figure

from experiments.report.style import GRID_COLOUR, directed, looks, short, style, tick
from experiments.store.record import ComparisonRecord


def curves(record: ComparisonRecord) -> Figure:
    """One panel per axis: the mean on validation examples (y) at each step (x), one line per method, first seed.

    Large point: the step whose weights were kept. Dashed line: the base model on the same examples. A mean is left
    out if no example has a verdict.
    """
    assert record.watch is not None
    base = record.watch.base
    with style():
        figure = Figure(figsize=(2.9 * len(base) + 0.8, 3.4))
        panels = figure.subplots(1, len(base), squeeze=False)[0]
        for panel, (axis_name, before) in zip(panels, base.items(), strict=True):
            axis = record.axes[axis_name]
            for name, (colour, marker) in looks(record.methods).items():
                method = record.methods[name]
                if not method.watched or method.kept_step is None:
                    continue
                steps = [line.step for line in method.watched]
                means = np.array([line.means[axis_name] for line in method.watched], float)  # None becomes NaN
                panel.plot(steps, means, color=colour, marker=marker, markersize=3, label=short(name))
                at = steps.index(method.kept_step)
                panel.scatter(steps[at], means[at], s=70, color=colour, marker=marker, edgecolors="white", zorder=3)
            panel.axhline(
                np.nan if before is None else before,
                color="#888888",
                linestyle="--",
                linewidth=1,
                zorder=1,
                label="base",
            )
            panel.set_title(axis_name)
            panel.set_xlabel("step")
            panel.set_ylabel(directed(axis))
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.margins(y=0.08)
            if axis.unit == "fraction":
                panel.set_ylim(-0.03, 1.03)
                panel.yaxis.set_major_formatter(lambda value, _, axis=axis: tick(value, axis))
            panel.grid(True, color=GRID_COLOUR)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
    return figure

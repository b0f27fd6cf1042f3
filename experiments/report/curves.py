"""What evaluation while training saw, as a chart drawn from the record alone."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from experiments.report.reading import Record
from experiments.report.style import GRID_COLOUR, looks, quantity, style, tick


def watched(record: Record) -> dict[str, Record]:
    """The methods that were evaluated while they were trained."""
    return {name: method for name, method in record["methods"].items() if method.get("watched")}


def curves(record: Record) -> Figure:
    """A panel an axis: its mean on validation examples over steps, a line a method, first seed.

    The large point is the step whose weights were kept, the dashed line the base on the same examples. A mean that no
    judge decided on is left out.
    """
    methods, base = watched(record), record["watch"]["base"]
    with style():
        figure = Figure(figsize=(2.9 * len(base) + 0.8, 3.4))
        panels = figure.subplots(1, len(base), squeeze=False)[0]
        for panel, (axis_name, before) in zip(panels, base.items(), strict=True):
            axis = record["axes"][axis_name]
            for name, method in methods.items():
                colour, marker = looks(record)[name]
                steps = [line["step"] for line in method["watched"]]
                means = np.array([line[axis_name] for line in method["watched"]], float)  # None becomes NaN
                label = textwrap.shorten(name, 24, placeholder="...")
                panel.plot(steps, means, color=colour, marker=marker, markersize=3, label=label)
                at = steps.index(method["kept_step"])
                panel.scatter(steps[at], means[at], s=70, color=colour, marker=marker, edgecolors="white", zorder=3)
            panel.axhline(before, color="#888888", linestyle="--", linewidth=1, zorder=1, label="base")
            panel.set_title(axis_name)
            panel.set_xlabel("step")
            panel.set_ylabel(f"{quantity(axis)}, {'higher' if axis['higher_is_better'] else 'lower'} is better")
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.margins(y=0.08)
            if axis["unit"] == "fraction":
                panel.set_ylim(-0.03, 1.03)
                panel.yaxis.set_major_formatter(lambda value, _, axis=axis: tick(value, axis))
            panel.grid(True, color=GRID_COLOUR)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
    return figure

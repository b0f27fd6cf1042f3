"""Charts of a run, one figure a function, drawn from its record alone; every method looks the same in all of them."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.report.curves import curves, watched
from experiments.report.fronts import fronts
from experiments.report.reading import (
    TARGET,
    Record,
    after_scores,
    base_scores,
    before_scores,
    retention,
    shift,
    worst_leak,
)
from experiments.report.style import BASE_COLOUR, GRID_COLOUR, INK, encode, looks, quantity, style, tick, wrap
from jaxft.io import write_atomically

LEAK_FLOOR = 1e-6
#: Begins the names of the charts of one axis against proficiency.
FRONT = "front_"


def bars(record: Record, axis_name: str) -> Figure:
    """Before and after on one axis, a pair of bars a method, 95 % intervals, and the change written above."""
    axis = record["axes"][axis_name]
    methods = [name for name, method in record["methods"].items() if axis_name in method["axes"]]
    with style():
        figure = Figure(figsize=(max(4.5, 1.5 + 1.15 * len(methods)), 3.6))
        axes = figure.add_subplot()
        highest = 0.0
        for place, name in enumerate(methods):
            measured, top = record["methods"][name]["axes"][axis_name], 0.0
            for offset, when, colour in ((-0.2, "before", BASE_COLOUR), (0.2, "after", looks(record)[name][0])):
                height, low, high = (_float(value) for value in (measured[when], *measured[f"{when}_interval"]))
                axes.bar(place + offset, height, 0.38, color=colour)
                arms = [[max(0.0, height - low)], [max(0.0, high - height)]]
                axes.errorbar(place + offset, height, arms, color=INK, elinewidth=1, capsize=2)
                top = np.nanmax([0.0, height, high])
                highest = max(highest, top)
            text = shift(measured["change"], axis)
            axes.annotate(text, (place + 0.2, top), (0, 2), textcoords="offset points", ha="center", va="bottom")
        axes.set_ylim(0, 1.12 * highest or 1.0)
        axes.set_xticks(range(len(methods)), [wrap(name) for name in methods])
        axes.tick_params(axis="x", length=0)
        axes.yaxis.grid(True, color=GRID_COLOUR)
        axes.yaxis.set_major_formatter(lambda value, _: tick(value, axis))
        points = ", change in points" if axis["unit"] == "fraction" else ""
        axes.set_title(f"{axis_name}: grey before, colour after{points}")
        axes.set_ylabel(f"{quantity(axis)}, {'higher' if axis['higher_is_better'] else 'lower'} is better")
    return figure


def scatter(record: Record) -> Figure:
    """What was learnt (x) against what was kept (y, the mean of the other axes) on test data; better is up and right.

    Small points are the learning-rate sweep, large ones the results with the chosen rate, dashed lines the base. When
    the other axes do not share a unit and a direction, y is the mean of their relative changes, more being better.
    """
    target = record["axes"][TARGET]
    others = {name: axis for name, axis in record["axes"].items() if name != TARGET}
    mixed = len({(axis["unit"], axis["higher_is_better"]) for axis in others.values()}) > 1
    shared = {"unit": "fraction", "higher_is_better": True} if mixed else next(iter(others.values()))
    before = base_scores(record)

    def point(scores: Record, before: Record) -> tuple[float, float]:
        if mixed:
            return _float(scores.get(TARGET)), _float(retention(record, scores, before))
        return _float(scores.get(TARGET)), float(np.mean([_float(scores.get(name)) for name in others]))

    with style():
        figure = Figure(figsize=(6.4, 4.4))
        axes = figure.add_subplot()
        for name, (colour, marker) in looks(record).items():
            method = record["methods"][name]
            its = before_scores(method)
            for tried in method["sweep"]:
                axes.scatter(*point(tried["test"], its), s=20, marker=marker, color=colour, alpha=0.5, linewidths=0)
            chosen = point(after_scores(method), its)
            label = textwrap.shorten(name, 24, placeholder="...")
            axes.scatter(*chosen, s=110, marker=marker, color=colour, edgecolors="white", label=label, zorder=3)
        base = point(before, before)
        axes.axvline(base[0], color="#888888", linestyle="--", linewidth=1, zorder=1)
        axes.axhline(base[1], color="#888888", linestyle="--", linewidth=1, zorder=1, label="base")
        axes.margins(0.08)
        axes.xaxis.set_major_formatter(lambda value, _: tick(value, target))
        axes.yaxis.set_major_formatter(lambda value, _: tick(value, shared))
        if not target["higher_is_better"]:
            axes.invert_xaxis()
        if not shared["higher_is_better"]:
            axes.invert_yaxis()
        axes.set_xlabel(f"{TARGET}, {quantity(target)}: better to the right")
        what = "mean relative change" if mixed else ("mean " if len(others) > 1 else "") + quantity(shared)
        axes.set_ylabel(f"{' and '.join(others)},\n{what}: better is up")
        axes.set_title("Learnt against kept")
        if any(method["sweep"] for method in record["methods"].values()):
            axes.scatter([], [], s=20, color=BASE_COLOUR, label="learning-rate sweep")
        axes.grid(True, color=GRID_COLOUR)
        figure.legend(loc="outside right upper")
    return figure


def leaks(record: Record) -> Figure:
    """|dW Q| / |dW| of every linear in every layer, one panel a method, one logarithmic colour scale for all."""
    maps = {name: _leak_map(method) for name, method in record["methods"].items() if _has_leaks(method)}
    layers = max(values.shape[1] for _, values in maps.values())
    linears = max(len(names) for names, _ in maps.values())
    columns = min(len(maps), 4 if layers <= 8 else 2 if layers <= 16 else 1)
    rows = -(-len(maps) // columns)
    size = (max(4.5, columns * max(1.7, 0.2 * layers + 0.7)), rows * (0.2 * linears + 0.65) + 0.7)
    norm = LogNorm(LEAK_FLOOR, 1.0)
    with style():
        figure = Figure(figsize=size)
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel, (name, (linear_names, values)) in zip(panels.flat, maps.items(), strict=False):
            panel.imshow(np.maximum(values, LEAK_FLOOR), norm=norm, cmap="cividis", aspect="auto")
            panel.set_title(textwrap.shorten(name, 24, placeholder="..."))
            panel.set_yticks(range(len(linear_names)), linear_names, fontsize=8)
            panel.set_xticks(range(0, layers, -(-layers // 8)))
            panel.set_xlabel("layer")
            panel.tick_params(length=0)
            panel.spines[:].set_visible(False)
        for panel in panels.flat[len(maps) :]:
            panel.set_visible(False)
        bar = figure.colorbar(
            panels.flat[0].images[0], ax=panels, location="bottom", extend="min", aspect=40, fraction=0.06
        )
        bar.set_label("|dW Q| / |dW|: share of the change that protected inputs see (blue is better)")
        bar.ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        bar.ax.minorticks_off()
        bar.outline.set_visible(False)
    return figure


def figures(record: Record) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of every chart that the record has the numbers for."""
    measured = base_scores(record)
    for name in record["axes"]:
        if name in measured:
            yield name, bars(record, name)
    if TARGET in measured and len(measured) > 1:
        yield "retention", scatter(record)
        for name in measured:
            if name != TARGET:
                yield f"{FRONT}{name}", fronts(record, name)
    if any(_has_leaks(method) for method in record["methods"].values()):
        yield "leak", leaks(record)
    if watched(record):
        yield "watched", curves(record)


def write_charts(record: Record, folder: Path) -> list[Path]:
    """Write every chart as a PNG (one an axis, retention, fronts, leak, watched) and return the paths."""
    paths = []
    for name, figure in figures(record):
        paths.append(Path(folder) / f"{name}.png")
        write_atomically(paths[-1], encode(figure, "png"))
    return paths


def _float(value: float | None) -> float:
    """A number to draw; what the record does not know becomes NaN, which matplotlib leaves out."""
    return float("nan") if value is None else float(value)


def _has_leaks(method: Record) -> bool:
    return worst_leak(method["certificate"]) is not None


def _leak_map(method: Record) -> tuple[list[str], np.ndarray]:
    """Names of the linears, and their leaks [linear, layer]; NaN where a layer has none."""
    leak = {
        (linear, space["layer"]): value
        for space in method["certificate"]["spaces"]
        for linear, value in space["leak"].items()
    }
    linears = list(dict.fromkeys(linear for linear, _ in leak))
    values = np.full((len(linears), 1 + max(layer for _, layer in leak)), np.nan)
    for (linear, layer), value in leak.items():
        values[linears.index(linear), layer] = _float(value)
    return linears, values

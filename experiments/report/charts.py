"""Charts of a run, one function per figure, from its record alone; a method has the same colour and marker in all."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from experiments.report.fronts import fronts
from experiments.report.movement import moved
from experiments.report.reading import LEAK_ENERGIES, TARGET, after_scores, base_scores, before_scores, retention, shift
from experiments.report.style import (
    BASE_COLOUR,
    DASHED,
    INK,
    base_lines,
    better_up_right,
    directed,
    heat_map,
    looks,
    quantity,
    short,
    style,
    tick,
    wrap,
)
from experiments.store.record import ComparisonRecord

#: Prefix of the names of the charts of one axis against proficiency.
FRONT = "front_"


def bars(record: ComparisonRecord, axis_name: str) -> Figure:
    """Scores before and after on one axis: a pair of bars per method with 95 % intervals, and the change above."""
    axis = record.axes[axis_name]
    methods = {name: method.axes[axis_name] for name, method in record.methods.items() if axis_name in method.axes}
    with style():
        figure = Figure(figsize=(max(4.5, 1.5 + 1.15 * len(methods)), 3.6))
        axes = figure.add_subplot()
        highest = 0.0
        for place, (name, measured) in enumerate(methods.items()):
            top = 0.0
            before = (-0.2, BASE_COLOUR, measured.before, measured.before_interval)
            after = (0.2, looks(record.methods)[name][0], measured.after, measured.after_interval)
            for offset, colour, mean, interval in (before, after):
                height, low, high = (_float(value) for value in (mean, *interval))
                axes.bar(place + offset, height, 0.38, color=colour)
                arms = [[max(0.0, height - low)], [max(0.0, high - height)]]
                axes.errorbar(place + offset, height, arms, color=INK, elinewidth=1, capsize=2)
                top = np.nanmax([0.0, height, high])
                highest = max(highest, top)
            text = shift(measured.change, axis)
            axes.annotate(text, (place + 0.2, top), (0, 2), textcoords="offset points", ha="center", va="bottom")
        axes.set_ylim(0, 1.12 * highest or 1.0)
        axes.set_xticks(range(len(methods)), [wrap(name) for name in methods])
        axes.tick_params(axis="x", length=0)
        axes.xaxis.grid(False)
        axes.yaxis.set_major_formatter(lambda value, _: tick(value, axis))
        points = ", change in points" if axis.unit == "fraction" else ""
        axes.set_title(f"{axis_name}: grey before, colour after{points}")
        axes.set_ylabel(directed(axis))
    return figure


def scatter(record: ComparisonRecord) -> Figure:
    """Proficiency (x) against the mean of the other axes (y) on test data; better is right and up.

    Small points: the learning-rate sweep. Large points: the chosen rate. Dashed lines: the base model. If the other
    axes differ in unit or direction, y is the mean of their relative changes, and more is better.
    """
    target = record.axes[TARGET]
    others = {name: axis for name, axis in record.axes.items() if name != TARGET}
    mixed = len({(axis.unit, axis.higher_is_better) for axis in others.values()}) > 1
    shared = next(iter(others.values()))
    if mixed:
        shared = replace(shared, unit="fraction", higher_is_better=True)
    before = base_scores(record)

    def point(scores: Mapping[str, float | None], before: Mapping[str, float]) -> tuple[float, float]:
        if mixed:
            return _float(scores.get(TARGET)), _float(retention(record, scores, before))
        return _float(scores.get(TARGET)), float(np.mean([_float(scores.get(name)) for name in others]))

    with style():
        figure = Figure(figsize=(6.4, 4.4))
        axes = figure.add_subplot()
        for name, (colour, marker) in looks(record.methods).items():
            method = record.methods[name]
            its = before_scores(method)
            for tried in method.rates:
                axes.scatter(*point(tried.test, its), s=20, marker=marker, color=colour, alpha=0.5, linewidths=0)
            chosen = point(after_scores(method), its)
            axes.scatter(*chosen, s=110, marker=marker, color=colour, edgecolors="white", label=short(name), zorder=3)
        base_lines(axes, *point(before, before), "base")
        better_up_right(axes, target, shared)
        axes.set_xlabel(f"{TARGET}, {quantity(target)}: better to the right")
        what = "mean relative change" if mixed else ("mean " if len(others) > 1 else "") + quantity(shared)
        axes.set_ylabel(f"{' and '.join(others)},\n{what}: better is up")
        axes.set_title("Learnt against kept")
        if any(method.rates for method in record.methods.values()):
            axes.scatter([], [], s=20, color=BASE_COLOUR, label="learning-rate sweep")
        figure.legend(loc="outside right upper")
    return figure


def leaks(record: ComparisonRecord) -> Figure:
    """|dW Q| / |dW| of every linear in every layer on one colour scale, two panels per method.

    Q: the directions that hold 80 % and 99 % of the energy of the reference inputs, the same for every method.
    """
    found = {name: certificate.movement for name, certificate in moved(record).items() if certificate.movement}
    layers = max(len(linear.shares) for movement in found.values() for linear in movement.linears.values())
    linears = max(len(movement.linears) for movement in found.values())
    columns = len(LEAK_ENERGIES) * (2 if layers <= 8 and len(found) > 1 else 1)
    panels_needed = len(LEAK_ENERGIES) * len(found)
    rows = -(-panels_needed // columns)
    size = (max(4.5, columns * max(1.7, 0.2 * layers + 0.7)), rows * (0.2 * linears + 0.65) + 0.7)
    norm = Normalize(0, 1)
    with style():
        figure = Figure(figsize=size)
        panels = figure.subplots(rows, columns, squeeze=False)
        shown = ((name, movement, energy) for name, movement in found.items() for energy in LEAK_ENERGIES)
        for panel, (name, movement, energy) in zip(panels.flat, shown, strict=False):
            at = movement.energies.index(energy)
            shares = [[layer[at] for layer in linear.shares] for linear in movement.linears.values()]
            heat_map(panel, np.sqrt(shares), norm, list(movement.linears), f"{short(name)}, {energy:.0%}")
            panel.set_xlabel("layer")
        for panel in panels.flat[panels_needed:]:
            panel.set_visible(False)
        bar = figure.colorbar(panels.flat[0].images[0], ax=panels, location="bottom", aspect=40, fraction=0.06)
        bar.set_label("|dW Q| / |dW| (blue is better)")
        bar.outline.set_visible(False)
    return figure


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
            panel.axhline(_float(before), label="base", **DASHED)
            panel.set_title(axis_name)
            panel.set_xlabel("step")
            panel.set_ylabel(directed(axis))
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.margins(y=0.08)
            if axis.unit == "fraction":
                panel.set_ylim(-0.03, 1.03)
                panel.yaxis.set_major_formatter(lambda value, _, axis=axis: tick(value, axis))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
    return figure


def figures(record: ComparisonRecord) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of every chart for which the record has numbers."""
    measured = base_scores(record)
    for name in record.axes:
        if name in measured:
            yield name, bars(record, name)
    if TARGET in measured and len(measured) > 1:
        yield "retention", scatter(record)
        for name in measured:
            if name != TARGET:
                yield f"{FRONT}{name}", fronts(record, name)
    if moved(record):
        yield "leak", leaks(record)
    if any(method.watched for method in record.methods.values()):
        yield "watched", curves(record)


def _float(value: float | None) -> float:
    """`value` as a float to draw; None becomes NaN, which matplotlib leaves out."""
    return float("nan") if value is None else float(value)

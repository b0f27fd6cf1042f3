"""Charts of a run, one figure a function, drawn from its record alone.

Every method keeps one colour and one marker over all figures. Colours: Okabe and Ito, Color Universal Design (2008).
"""

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.report.files import write_atomically
from experiments.report.reading import TARGET, Record, after_scores, base_scores, retention, shift

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#A6761D")
MARKERS = "osD^vPX*"
BASE_COLOUR = "#B8B8B8"
LEAK_FLOOR = 1e-6
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,
    "svg.hashsalt": "jaxft",
}


def bars(record: Record, axis_name: str) -> Figure:
    """Before and after on one axis, a pair of bars a method, 95 % intervals, and the change written above."""
    axis = record["axes"][axis_name]
    methods = [name for name, method in record["methods"].items() if axis_name in method["axes"]]
    colours = _colours(record)
    with _style():
        figure = Figure(figsize=(max(4.5, 1.5 + 1.15 * len(methods)), 3.6))
        axes = figure.add_subplot()
        tops = [0.0]
        for place, name in enumerate(methods):
            measured = record["methods"][name]["axes"][axis_name]
            top = 0.0
            for offset, when, colour in ((-0.2, "before", BASE_COLOUR), (0.2, "after", colours[name])):
                height, low, high = _floats([measured[when], *measured[f"{when}_interval"]])
                axes.bar(place + offset, height, 0.38, color=colour)
                arms = [[max(0.0, height - low)], [max(0.0, high - height)]]
                axes.errorbar(place + offset, height, arms, color="#333333", elinewidth=1, capsize=2)
                top = np.nanmax([top, height, high])
            label = shift(measured["change"], axis)
            axes.annotate(label, (place + 0.2, top), (0, 3), textcoords="offset points", ha="center", va="bottom")
            tops.append(top)
        axes.set_ylim(0, 1.12 * max(tops) or 1.0)
        axes.set_xticks(range(len(methods)), [_wrap(name) for name in methods])
        axes.tick_params(axis="x", length=0)
        axes.yaxis.grid(True, color="#E5E5E5")
        axes.yaxis.set_major_formatter(lambda value, _: _tick(value, axis))
        direction = "higher" if axis["higher_is_better"] else "lower"
        points = ", change in points" if axis["unit"] == "fraction" else ""
        axes.set_title(f"{axis_name} ({axis['task']}): grey before, colour after{points}")
        axes.set_ylabel(f"{_quantity(axis)}, {direction} is better")
    return figure


def scatter(record: Record) -> Figure:
    """What was learnt (x) against what was kept (y): the mean over the other axes after training; better is up and right.

    Small points are the learning-rate sweep, the large one is the result with the chosen rate, dashed lines mark the base. When the other
    axes do not share a unit and a direction, y is the mean of their relative changes, turned so that more is better.
    """
    target = record["axes"][TARGET]
    others = {name: axis for name, axis in record["axes"].items() if name != TARGET}
    mixed = len({(axis["unit"], axis["higher_is_better"]) for axis in others.values()}) > 1
    shared = {"unit": "fraction", "higher_is_better": True} if mixed else next(iter(others.values()))
    before, colours = base_scores(record), _colours(record)

    def kept(scores: Record) -> float:
        if mixed:
            return _floats([retention(record, scores, before)])[0]
        return float(np.mean(_floats([scores.get(name) for name in others])))

    with _style():
        figure = Figure(figsize=(6.2, 4.6))
        axes = figure.add_subplot()
        for index, (name, method) in enumerate(record["methods"].items()):
            marker = MARKERS[index % len(MARKERS)]
            sweep = [(_floats([point[TARGET]])[0], kept(point)) for point in method["sweep"]]
            if sweep:
                axes.scatter(
                    *zip(*sweep, strict=True), s=18, marker=marker, color=colours[name], alpha=0.45, linewidths=0
                )
            scores = after_scores(method)
            x, y = _floats([scores.get(TARGET)])[0], kept(scores)
            axes.scatter(x, y, s=110, marker=marker, color=colours[name], edgecolors="white", label=name, zorder=3)
        if TARGET in before:
            axes.axvline(before[TARGET], color="#888888", linestyle="--", linewidth=1, zorder=0)
            axes.axhline(kept(before), color="#888888", linestyle="--", linewidth=1, zorder=0, label="base")
        axes.margins(0.08)
        axes.xaxis.set_major_formatter(lambda value, _: _tick(value, target))
        axes.yaxis.set_major_formatter(lambda value, _: _tick(value, shared))
        if not target["higher_is_better"]:
            axes.invert_xaxis()
        if not shared["higher_is_better"]:
            axes.invert_yaxis()
        names = " and ".join(others)
        axes.set_xlabel(f"{TARGET}: {_quantity(target)} (better to the right)")
        quantity = "mean relative change" if mixed else ("mean " if len(others) > 1 else "") + _quantity(shared)
        axes.set_ylabel(f"{names}:\n{quantity} (better is up)")
        axes.set_title("Learnt against kept; small: the learning-rate sweep")
        axes.grid(True, color="#E5E5E5")
        figure.legend(loc="outside right upper")
    return figure


def leaks(record: Record) -> Figure:
    """|dW Q| / |dW| of every linear in every layer, one panel a method, one logarithmic colour scale for all."""
    maps = {name: _leak_map(method) for name, method in record["methods"].items()}
    maps = {name: leak_map for name, leak_map in maps.items() if leak_map[1].size}
    layers = max(values.shape[1] for _, values in maps.values())
    columns = min(len(maps), 3 if layers <= 12 else 1)
    rows = -(-len(maps) // columns)
    linears = max(len(names) for names, _ in maps.values())
    with _style():
        figure = Figure(
            figsize=(max(4.5, columns * max(2.2, 0.25 * layers + 0.8) + 1.2), rows * (0.24 * linears + 0.8) + 0.4)
        )
        panels = figure.subplots(rows, columns, squeeze=False)
        image = None
        for panel, (name, (linear_names, values)) in zip(panels.flat, maps.items(), strict=False):
            norm = LogNorm(LEAK_FLOOR, 1.0)
            image = panel.imshow(np.maximum(values, LEAK_FLOOR), norm=norm, cmap="cividis", aspect="auto")
            panel.set_title(textwrap.shorten(name, 30, placeholder="..."))
            panel.set_yticks(range(len(linear_names)), linear_names, fontsize=8)
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.tick_params(length=0)
            panel.spines[:].set_visible(False)
        for panel in panels.flat[len(maps) :]:
            panel.set_visible(False)
        for panel in panels.flat[max(0, len(maps) - columns) : len(maps)]:
            panel.set_xlabel("layer")
        assert image is not None
        bar = figure.colorbar(image, ax=panels, extend="min", label="|dW Q| / |dW|", fraction=0.04)
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
    if any(space["leak"] for method in record["methods"].values() for space in method["certificate"]["spaces"]):
        yield "leak", leaks(record)


def write_charts(record: Record, folder: Path) -> list[Path]:
    """Write every chart as a PNG (proficiency, safety, knowledge, retention, leak) and return the paths."""
    paths = []
    for name, figure in figures(record):
        paths.append(Path(folder) / f"{name}.png")
        write_atomically(paths[-1], encode(figure, "png"))
    return paths


def encode(figure: Figure, form: str) -> bytes:
    """The bytes of a figure as "png" (160 dots an inch) or "svg"; equal figures give equal bytes."""
    stream = io.BytesIO()
    with _style():
        figure.savefig(stream, format=form, dpi=160, metadata={"Date": None} if form == "svg" else None)
    return stream.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(STYLE):  # pyright: ignore[reportArgumentType] - its keys are an enumeration of literals
        yield


def _colours(record: Record) -> dict[str, str]:
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(record["methods"])}


def _floats(values: Sequence[float | None]) -> list[float]:
    """Numbers to draw; what the record does not know becomes NaN, which matplotlib leaves out."""
    return [float("nan") if value is None else float(value) for value in values]


def _quantity(axis: Record) -> str:
    return axis["metric"] if axis["unit"] == "fraction" else f"{axis['metric']} ({axis['unit']})"


def _tick(value: float, axis: Record) -> str:
    return f"{100 * value:.3g}%" if axis["unit"] == "fraction" else f"{value:.3g}"


def _wrap(name: str) -> str:
    """A method name on at most two short lines, broken after underscores, hyphens and plus signs where there are any."""
    lines = textwrap.wrap(name.replace("_", "_ ").replace("+", "+ "), 12, max_lines=2, placeholder="...")
    return "\n".join(line.replace("_ ", "_").replace("+ ", "+") for line in lines)


def _leak_map(method: Record) -> tuple[list[str], np.ndarray]:
    """Short names of the linears, and their leaks [linear, layer]; NaN where a layer has none."""
    leak = {
        (linear, space["layer"]): value
        for space in method["certificate"]["spaces"]
        for linear, value in space["leak"].items()
    }
    linears = list(dict.fromkeys(linear for linear, _ in leak))
    values = np.full((len(linears), 1 + max((layer for _, layer in leak), default=-1)), np.nan)
    for (linear, layer), value in leak.items():
        values[linears.index(linear), layer] = np.nan if value is None else value
    return [linear.removeprefix("layers.").removesuffix(".kernel") for linear in linears], values

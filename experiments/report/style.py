"""The style of all charts: colours, axis labels, and figures as bytes.

Colours: Okabe and Ito, Color Universal Design (2008), which readers with any colour vision can tell apart.
"""

import io
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from experiments.report.reading import better
from experiments.store.record import AxisDescription

BASE_COLOUR = "#B8B8B8"
INK = "#333333"
#: The line of the base model.
DASHED: Mapping[str, Any] = {"color": "#888888", "linestyle": "--", "linewidth": 1, "zorder": 1}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#A6761D")
_MARKERS = "osD^vPX*"
_STYLE: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a dollar sign in a name does not begin a formula
    "svg.hashsalt": "jaxft",  # equal figures give equal bytes
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save figures in one style, whatever the user's matplotlib settings are."""
    with matplotlib.rc_context(dict(_STYLE)):
        yield


def looks(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(colour, marker) of every method of a record, the same in all its figures; pairs repeat after 64."""
    return {
        name: (_COLOURS[index % len(_COLOURS)], _MARKERS[(index + index // len(_COLOURS)) % len(_MARKERS)])
        for index, name in enumerate(methods)
    }


def quantity(axis: AxisDescription) -> str:
    """The metric of an axis, with its unit unless it is a fraction."""
    return axis.metric if axis.unit == "fraction" else f"{axis.metric} ({axis.unit})"


def directed(axis: AxisDescription) -> str:
    """The `quantity` of an axis, and the direction in which it gets better."""
    return f"{quantity(axis)}, {better(axis)}"


def tick(value: float, axis: AxisDescription) -> str:
    """The text of a tick: percent for fractions."""
    return f"{100 * value:.3g}%" if axis.unit == "fraction" else f"{value:.3g}"


def base_lines(panel: Any, x: float, y: float, label: str | None) -> None:
    """Draw dashed lines through the scores of the base model."""
    panel.axvline(x, **DASHED)
    panel.axhline(y, label=label, **DASHED)


def better_up_right(panel: Any, x: AxisDescription, y: AxisDescription) -> None:
    """Set ticks in the units of two axes, and invert the axes if needed, so that better is right and up."""
    panel.margins(0.08)
    panel.xaxis.set_major_formatter(lambda value, _: tick(value, x))
    panel.yaxis.set_major_formatter(lambda value, _: tick(value, y))
    if not x.higher_is_better:
        panel.invert_xaxis()
    if not y.higher_is_better:
        panel.invert_yaxis()


def heat_map(panel: Any, values: np.ndarray, norm: Normalize, linears: Sequence[str], title: str) -> None:
    """Draw values, [linear, layer], as a heat map."""
    panel.imshow(values, norm=norm, cmap="cividis", aspect="auto")
    panel.set_title(title)
    panel.set_yticks(range(len(linears)), linears, fontsize=8)
    panel.set_xticks(range(0, values.shape[1], -(-values.shape[1] // 8)))
    panel.tick_params(length=0)
    panel.grid(False)
    panel.spines[:].set_visible(False)


def short(name: str) -> str:
    """A method name of at most 24 characters, for titles and legends."""
    return textwrap.shorten(name, 24, placeholder="...")


def wrap(name: str) -> str:
    """A method name on at most two lines of 12 characters, which may break after underscores and plus signs."""
    lines = textwrap.wrap(name.replace("_", "_ ").replace("+", "+ "), 12, max_lines=2, placeholder="...")
    return "\n".join(line.replace("_ ", "_").replace("+ ", "+") for line in lines)


def encode(figure: Figure, form: str) -> bytes:
    """The bytes of a figure as "png" (160 dots per inch) or "svg"; equal figures give equal bytes."""
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format=form, dpi=160, metadata={"Date": None} if form == "svg" else None)
    return stream.getvalue()

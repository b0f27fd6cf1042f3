"""How every chart looks: colours, words on the axes, and figures as bytes.

Colours: Okabe and Ito, Color Universal Design (2008), which readers with any colour vision can tell apart.
"""

import io
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from experiments.report.reading import Record

BASE_COLOUR = "#B8B8B8"
GRID_COLOUR = "#E5E5E5"
INK = "#333333"
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
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.hashsalt": "jaxft",  # equal figures give equal bytes
}


@contextmanager
def style() -> Iterator[None]:
    """Everything drawn or saved inside looks the same, whatever the user's matplotlib settings are."""
    with matplotlib.rc_context(dict(_STYLE)):
        yield


def looks(record: Record) -> dict[str, tuple[str, str]]:
    """(colour, marker) of every method, the same in every figure of a record; pairs repeat after 64."""
    return {
        name: (_COLOURS[index % len(_COLOURS)], _MARKERS[(index + index // len(_COLOURS)) % len(_MARKERS)])
        for index, name in enumerate(record["methods"])
    }


def quantity(axis: Record) -> str:
    """What an axis measures, with its unit."""
    return axis["metric"] if axis["unit"] == "fraction" else f"{axis['metric']} ({axis['unit']})"


def tick(value: float, axis: Record) -> str:
    """A round value on an axis: percent for fractions."""
    return f"{100 * value:.3g}%" if axis["unit"] == "fraction" else f"{value:.3g}"


def wrap(name: str) -> str:
    """A method name on at most two short lines, broken after underscores and plus signs where there are any."""
    lines = textwrap.wrap(name.replace("_", "_ ").replace("+", "+ "), 12, max_lines=2, placeholder="...")
    return "\n".join(line.replace("_ ", "_").replace("+ ", "+") for line in lines)


def encode(figure: Figure, form: str) -> bytes:
    """The bytes of a figure as "png" (160 dots an inch) or "svg"; equal figures give equal bytes."""
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format=form, dpi=160, metadata={"Date": None} if form == "svg" else None)
    return stream.getvalue()

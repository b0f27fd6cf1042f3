"""Tables and figures of the change of weights, by linear and layer, and of hidden states, from the record alone."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import LogLocator, NullLocator

from experiments.report.columns import Grid, aligned
from experiments.report.reading import Compared, divergence, number
from experiments.report.style import INK, encode, heat_map, looks, short, style
from experiments.store.record.certificate import Certificate, LinearMovement, Movement
from jaxft.io import write_atomically

#: Shares of the reference energy in tables; a record has more.
SHOWN_ENERGIES = (0.5, 0.8, 0.9, 0.99)
NOTE = (
    "Over layers: least / median / most. Effective rank: exp of the entropy of the shares of |dW|² along its singular "
    "directions. The last columns: share of |dW|², median over layers, in the directions that hold this much of the "
    "energy of the reference inputs; where it is large, old inputs see the change."
)
CHANGED = "share of weights changed"
_MAPS: Mapping[str, Callable[[LinearMovement], Sequence[float]]] = {
    "|dW| / |W|": lambda linear: linear.relative,
    "effective rank of dW": lambda linear: linear.effective_rank,
    CHANGED: lambda linear: linear.changed,
}


def moved(record: Compared) -> dict[str, Certificate]:
    """The certificates, by method, that hold movements of linears; older records and those of sweeps have none."""
    certificates = {name: method.certificate for name, method in record.methods.items()}
    return {name: found for name, found in certificates.items() if found and found.movement and found.movement.linears}


def sections(certificates: Mapping[str, Certificate]) -> list[tuple[str, list[tuple[str, str]], Grid]]:
    """(method, facts, table with one row per linear) of every certificate of `moved`."""
    return [(name, list(_facts(found)), summary(_movement(found))) for name, found in certificates.items()]


def text(certificate: Certificate) -> str:
    """Table and facts of one method for a terminal."""
    grid = summary(_movement(certificate))
    lines = [*aligned([grid.header, *grid.rows]), "", *textwrap.wrap(NOTE, 120), ""]
    return "\n".join([*lines, *(f"{title}: {value}" for title, value in _facts(certificate))])


def summary(movement: Movement) -> Grid:
    """One row per linear, one for the whole change, and one for a change of its size without preferred directions."""
    energies = [movement.energies.index(energy) for energy in SHOWN_ENERGIES]
    header = ("linear", "|dW|/|W|", "effective rank", "of", "weights changed", *(f"{e:.0%}" for e in SHOWN_ENERGIES))
    rows = []
    for name, linear in movement.linears.items():
        inside = (median(layer[at] for layer in linear.shares) for at in energies)
        rows.append(
            (
                name,
                _span(linear.relative, ".2g"),
                _span(linear.effective_rank, ".3g"),
                str(linear.full_rank),
                _span(linear.changed, ".3g"),
                *(number(share, ".2g") for share in inside),
            )
        )
    for title, shares in (("all", movement.shares), ("if without preference", movement.isotropic)):
        rows.append((title, "", "", "", "", *(number(shares[at], ".2g") for at in energies)))
    return Grid(header, tuple(rows))


def draw(certificates: Mapping[str, Certificate], methods: Sequence[str]) -> Figure:
    """Three heat maps per method, by linear and layer, and below them three panels with one line per method.

    Panels: the share of |dW|² in the directions that hold a share of the reference energy (dashed: of a change without
    preferred directions), and |h - h0| / |h0| of the hidden states after every block, on reference and on domain text.
    methods: the names of all methods of the record, which fix the colours."""
    styles = looks(methods)
    layers = max(len(found.hidden_drift or ()) for found in certificates.values())
    linears = max(len(_movement(found).linears) for found in certificates.values())
    width, map_height = 3 * min(5.5, max(2.6, 0.2 * layers + 0.9)), 0.2 * linears + 0.75
    with style():
        heights = (len(certificates) * map_height + 0.8, 3.6)
        figure = Figure(figsize=(width, sum(heights)))
        (upper,), (lower,) = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
        panels = upper.subplots(len(certificates), 3, squeeze=False)
        for column, (title, values) in enumerate(_MAPS.items()):
            by_linear = {
                name: {linear: values(one) for linear, one in _movement(found).linears.items()}
                for name, found in certificates.items()
            }
            _maps(upper, panels[:, column], by_linear, title)
        curves = lower.subplots(1, 3)
        for name, found in certificates.items():
            colour, marker = styles[name]
            looked = {"color": colour, "marker": marker, "markersize": 3}
            movement = _movement(found)
            curves[0].plot(movement.energies, movement.shares, label=short(name), **looked)
            curves[0].plot(movement.energies, movement.isotropic, color=colour, linestyle="--", linewidth=0.8)
            for panel, states in zip(curves[1:], (found, found.domain), strict=True):
                drift = np.array(states.hidden_drift if states else (), float)
                panel.plot(np.where(drift > 0, drift, np.nan), **looked)  # a logarithmic axis cannot show 0
        curves[0].plot([], [], color=INK, linestyle="--", linewidth=0.8, label="without preference")
        curves[0].set_title("where the change lies")
        curves[0].set_xlabel("reference energy in a subspace")
        curves[0].set_ylabel("share of |dW|² in it")
        for panel, name in zip(curves[1:], ("reference", "domain"), strict=True):
            panel.set_title(f"hidden states: {name}")
            panel.set_xlabel("behind block")
            panel.set_ylabel("|h - h0| / |h0|")
            panel.set_yscale("log")
            _label(panel.yaxis)
            panel.xaxis.get_major_locator().set_params(integer=True)
        handles, labels = curves[0].get_legend_handles_labels()
        lower.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5))
    return figure


def write(name: str, certificate: Certificate, folder: Path) -> Path:
    """Write the figure of one method to movement.svg in `folder`; return its path."""
    path = folder / "movement.svg"
    write_atomically(path, encode(draw({name: certificate}, [name]), "svg"))
    return path


def _maps(figure: FigureBase, panels: Any, methods: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> None:
    """Draw one quantity by linear and layer, one heat map per method, in one column with one colour scale."""
    values = {name: np.array(list(linears.values())) for name, linears in methods.items()}
    positive = np.concatenate([found[found > 0] for found in values.values()])
    least, most = (positive.min(), positive.max()) if positive.size else (1.0, 1.0)
    norm = Normalize(0, 1) if title == CHANGED else LogNorm(min(least, most / 10), most)
    for panel, (name, found) in zip(panels, values.items(), strict=True):
        heat_map(panel, np.where(found > 0, found, np.nan), norm, list(methods[name]), short(name))
    panels[-1].set_xlabel("layer")
    bar = figure.colorbar(panels[0].images[0], ax=list(panels), location="bottom", aspect=30, fraction=0.1)
    bar.set_label(title)
    if title != CHANGED:
        _label(bar.ax.xaxis)
    bar.outline.set_visible(False)


def _movement(certificate: Certificate) -> Movement:
    assert certificate.movement is not None, "see `moved`"
    return certificate.movement


def _label(axis: Any) -> None:
    """Label a logarithmic axis with round numbers, even if it spans less than a decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())


def _facts(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """(title, text): threshold of a changed weight; drift of hidden states and logits on reference and domain text."""
    yield "weights changed", f"those with |dW| above {_movement(certificate).changed_above:g} of their linear's rms"
    for name, found in (("held-out reference text", certificate), ("domain text", certificate.domain)):
        if found is None or found.hidden_drift is None:
            continue
        first, last = (number(found.hidden_drift[at]) for at in (0, -1))
        yield (
            name,
            f"|h - h0|/|h0| {first} behind the first block, {last} behind the last; "
            f"KL {divergence(found)} nat/token, largest logit change {number(found.logit_max_difference)}",
        )


def _span(values: Sequence[float], form: str) -> str:
    return " / ".join(number(value, form) for value in (min(values), median(values), max(values)))

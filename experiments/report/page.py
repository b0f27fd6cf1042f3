"""One HTML page of a run: self-contained, nothing fetched; drawn from its record alone."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from experiments.report import charts, movement
from experiments.report.axes import details, groups
from experiments.report.columns import Grid
from experiments.report.copies import copies
from experiments.report.reading import Record, headline, number, score
from experiments.report.replies import FACETS, packed
from experiments.report.style import encode
from experiments.report.table import (
    COSTS_NOTE,
    RELATIVE_NOTE,
    costs,
    dominated_note,
    markdown,
    results,
    table,
    told,
    unjudged,
)
from jaxft.io import write_atomically

CAPTIONS = {
    "retention": "What was learnt against what was kept",
    "leak": "Share of each weight change that lies in the protected directions, by layer",
    "watched": "Every axis while training, on validation examples; the large point is the step whose weights were kept",
}


#: What the page shows elsewhere; everything else that a record holds is listed under "How it was made".
SHOWN = {"format", "name", "command", "created", "seeds", "axes", "methods", "matched", "contamination"}
SHOWN_OF_METHODS = {"axes", "search", "sweep", "certificate", "examples", "watched"}


def page(record: Record) -> str:
    """The whole report as HTML text; everything that came from a model, a file or a user is escaped.

    The page carries the hash of its one script: a browser runs nothing else and fetches nothing.
    """
    return render(
        "page.html",
        script="replies.js",
        record=record,
        lead=headline(record),
        results=results(record, relative=True),
        note=RELATIVE_NOTE,
        dominated=" ".join(dominated_note(record)),
        unjudged=unjudged(record),
        costs=costs(record),
        costs_note=COSTS_NOTE,
        told=told(record),
        charts=[(caption(name), data_uri(figure)) for name, figure in charts.figures(record)],
        judge=(record.get("judge") or {}).get("name"),
        axes=[(name, details(record, name), groups(record, name)) for name in record["axes"]],
        copies=copies(record),
        sweep=rates(record),
        certificates=[
            (name, *_certificate(method["certificate"]))
            for name, method in record["methods"].items()
            if method["certificate"]
        ],
        movement=movement.sections(record),
        movement_figure=data_uri(movement.draw(record)) if movement.moved(record) else None,
        movement_note=movement.NOTE,
        replies=packed(record),
        facets=FACETS,
        facts=_made(record),
    )


def write_report(record: Record, folder: Path) -> list[Path]:
    """Write report.html, table.txt, table.md and charts into `folder`, each whole or not at all; return the paths."""
    folder = Path(folder)
    texts = {"report.html": page(record), "table.txt": table(record), "table.md": markdown(record)}
    for name, text in texts.items():
        write_atomically(folder / name, text.encode("utf-8"))
    return [*(folder / name for name in texts), *charts.write_charts(record, folder)]


def render(template: str, *, script: str = "", **values: Any) -> str:
    """A page from a template of this folder, with the style of all pages and at most one script, named by its file."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (folder / "page.css").read_text(encoding="utf-8")
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(css)}'"
    if script:
        values["script"] = Markup((folder / script).read_text(encoding="utf-8"))
        policy += f"; script-src '{_hash(values['script'])}'"
    return environment.get_template(template).render(css=Markup(css), policy=policy, **values)


def caption(name: str) -> str:
    """What stands below a chart."""
    if name.startswith(charts.FRONT):
        return f"What was learnt against {name.removeprefix(charts.FRONT)}, at every learning rate"
    return CAPTIONS.get(name, f"{name} before and after")


def _hash(text: str) -> str:
    """`text` as a Content-Security-Policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def data_uri(figure: Any) -> Markup:
    # An image in a data URI keeps the ids inside one chart's SVG from colliding with those of the next.
    return Markup("data:image/svg+xml;base64," + base64.b64encode(encode(figure, "svg")).decode("ascii"))


def rates(record: Record) -> Grid:
    """Every learning rate tried, on validation data, by which the rate is chosen, and on test data."""
    axes = record["axes"]
    rows = []
    for name, method in record["methods"].items():
        for point in method["sweep"]:
            pairs = (
                f"{score(point[axis_name], axis)} / {score(point['test'][axis_name], axis)}"
                for axis_name, axis in axes.items()
            )
            chosen = "chosen" if point["chosen"] else ""
            rows.append((name, number(point["learning_rate"]), *pairs, number(point["delta_norm"]), chosen))
    return Grid(("method", "learning rate", *(f"{name}, validation / test" for name in axes), "|dW|", ""), tuple(rows))


def _certificate(trained: Record) -> tuple[list[tuple[str, str]], Grid]:
    """Facts of a certificate, as trained and as exported, and its table with a row for every layer and space."""
    exported = trained["exported"]
    facts = []
    for key, title in (
        ("logit_kl", "KL to the base, nat/token on held-out reference"),
        ("logit_max_difference", "largest logit difference"),
        ("delta_norm", "|dW|"),
        ("relative_delta_norm", "|dW| / |W|"),
    ):
        facts.append((title, f"{number(trained[key])} (exported: {number(exported[key])})"))
    facts.append(("changed outside of the linears", ", ".join(trained["unprojected"]) or "nothing"))
    after_export = {(space["space"], space["layer"]): space["leak"] for space in exported["spaces"]}
    rows = []
    for space in trained["spaces"]:
        again = after_export.get((space["space"], space["layer"]), {})
        rows.append(
            (
                str(space["layer"]),
                space["space"],
                f"{space['rank']} / {space['width']}",
                number(space["captured_heldout"], ".2%"),
                _leaks(space["leak"]),
                _leaks(again),
            )
        )
    rows.sort(key=lambda row: int(row[0]))
    header = ("layer", "input", "rank / width", "energy captured", "leak |dW Q| / |dW|", "leak after export")
    return facts, Grid(header, tuple(rows))


def _leaks(leaks: Record) -> str:
    return ", ".join(f"{name} {leak:.2g}" for name, leak in leaks.items()) or "-"


def _made(record: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    """(title, facts) of whatever a record holds that no table shows."""
    rest = {key: value for key, value in record.items() if key not in SHOWN}
    rest["methods"] = {
        name: {key: value for key, value in method.items() if key not in SHOWN_OF_METHODS}
        for name, method in record["methods"].items()
    }
    return [(key, facts(value)) for key, value in rest.items()]


def facts(value: Any) -> list[tuple[str, str]]:
    """A nested mapping as (dotted key, value) rows, the keys as the command line spells them."""
    return list(_flatten("", value))


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)

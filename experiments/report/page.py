"""One HTML page of a run: self-contained, no script, nothing fetched; drawn from its record alone."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from experiments.report import charts
from experiments.report.files import write_atomically
from experiments.report.reading import Record, headline, number, score, shift, span
from experiments.report.style import encode
from experiments.report.table import RELATIVE_NOTE, Grid, costs, markdown, matched, results, table

CAPTIONS = {
    "retention": "What was learnt against what was kept",
    "leak": "Share of each weight change that lies in the protected directions, by layer",
}


def page(record: Record) -> str:
    """The whole report as HTML text; everything that came from a model, a file or a user is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.render(
        record=record,
        headline=headline(record),
        results=results(record, relative=True),
        note=RELATIVE_NOTE,
        costs=costs(record),
        matched=matched(record),
        charts=[
            (CAPTIONS.get(name, f"{name} before and after"), _data_uri(figure))
            for name, figure in charts.figures(record)
        ],
        details=[(name, _details(record, name)) for name in record["axes"]],
        sweep=_sweep(record),
        certificates=[
            (name, *_certificate(method["certificate"]))
            for name, method in record["methods"].items()
            if method["certificate"]
        ],
        facts=[
            ("config", _facts(record["config"])),
            ("data", _facts(record["data"])),
            ("base", _facts(record["base"])),
            ("versions", _facts(record["versions"])),
            ("hardware", _facts(record["hardware"])),
            ("timings", _facts(record["timings"])),
        ],
    )


def write_report(record: Record, folder: Path) -> list[Path]:
    """Write report.html, table.txt, table.md and charts into `folder`, each whole or not at all; return the paths."""
    folder = Path(folder)
    texts = {"report.html": page(record), "table.txt": table(record), "table.md": markdown(record)}
    for name, text in texts.items():
        write_atomically(folder / name, text.encode("utf-8"))
    return [*(folder / name for name in texts), *charts.write_charts(record, folder)]


def _data_uri(figure: Any) -> Markup:
    # An image in a data URI keeps the ids inside one chart's SVG from colliding with those of the next.
    return Markup("data:image/svg+xml;base64," + base64.b64encode(encode(figure, "svg")).decode("ascii"))


def _details(record: Record, axis_name: str) -> Grid:
    """Everything measured on one axis: intervals, test, flips and the single seeds."""
    axis = record["axes"][axis_name]
    rows = []
    for name, method in record["methods"].items():
        if (seen := method["axes"].get(axis_name)) is None:
            continue
        seeds = ", ".join(f"{run['seed']}: {score(run['after'], axis)}" for run in seen["seeds"])
        change = f"{shift(seen['change'], axis)} [{', '.join(shift(end, axis) for end in seen['change_interval'])}]"
        rows.append(
            (
                name,
                f"{score(seen['before'], axis)} {span(seen['before_interval'], axis)}",
                f"{score(seen['after'], axis)} {span(seen['after_interval'], axis)}",
                change,
                number(seen["relative_change"], "+z.1%"),
                number(seen["p_value"], ".2g"),
                f"{number(seen['negative_flips'])} / {number(seen['positive_flips'])}",
                number(seen["examples"], ","),
                seeds,
            )
        )
    header = (
        "method",
        "before",
        "after",
        "change",
        "relative",
        "p",
        "flips to wrong / right",
        "examples",
        "after, by seed",
    )
    return Grid(header, tuple(rows))


def _sweep(record: Record) -> Grid:
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


def _facts(value: Any) -> list[tuple[str, str]]:
    """A nested mapping as (dotted key, value) rows, the keys as the command line spells them."""
    return list(_flatten("", value))


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)

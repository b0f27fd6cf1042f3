"""One HTML page of a run: self-contained, nothing fetched; drawn from its record alone."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from experiments.report import charts, movement
from experiments.report.axes import details, groups
from experiments.report.columns import Grid
from experiments.report.copies import copies
from experiments.report.reading import Compared, divergence, headline, number, score
from experiments.report.replies import FACETS, packed
from experiments.report.style import encode
from experiments.report.table import (
    COSTS_NOTE,
    GUARANTEE,
    RELATIVE_NOTE,
    costs,
    dominated_note,
    drift,
    drift_note,
    extra_tables,
    markdown,
    results,
    table,
    unjudged,
)
from experiments.store.record import FORMAT, ComparisonRecord, Record
from experiments.store.record.certificate import Certificate
from experiments.store.record.codec import to_json
from jaxft.io import write_atomically

CAPTIONS = {
    "retention": "What was learnt against what was kept",
    "leak": (
        "Leak |dW Q| / |dW| by linear and layer, Q the directions that hold 80 and 99 % of the energy of the reference "
        "inputs, the same for every method"
    ),
    "watched": "Every axis while training, on validation examples; the large point is the step whose weights were kept",
}

#: What "How it was made" lists of a record and of a method; tables and charts show the rest.
MADE = ("config", "versions", "hardware", "data", "reference", "base", "judge", "methods", "timings", "watch")
MADE_OF_METHODS = (
    *("kind", "learning_rate", "delta_norm", "reference", "timings", "memory", "trained_parameters"),
    *("kept_step", "model", "cost"),
)


def page(record: ComparisonRecord, figures: Mapping[str, Figure]) -> str:
    """The whole report as HTML text; everything that came from a model, a file or a user is escaped.

    figures: what `charts.figures` drew. The page carries the hash of its one script: a browser runs nothing else and
    fetches nothing.
    """
    moved = movement.moved(record)
    methods = {name: to_json(method) for name, method in record.methods.items()}
    kept = {name: {key: one[key] for key in MADE_OF_METHODS if key in one} for name, one in methods.items()}
    return render(
        "page.html",
        script="replies.js",
        record=record,
        lead=headline(record),
        **compared(record),
        unjudged=unjudged(record),
        charts=drawn(figures),
        judge=record.judge.name if record.judge else None,
        axes=[(name, details(record, name), groups(record, name)) for name in record.axes],
        copies=copies(record),
        guarantee=GUARANTEE,
        certificates=[
            (name, *_certificate(method.certificate)) for name, method in record.methods.items() if method.certificate
        ],
        movement=movement.sections(moved),
        movement_figure=data_uri(movement.draw(moved, list(record.methods))) if moved else None,
        movement_note=movement.NOTE,
        replies=packed(record),
        facets=FACETS,
        facts=made(record, methods=kept),
    )


def write_report(record: ComparisonRecord, folder: Path) -> list[Path]:
    """Write report.html, table.txt, table.md and every chart as a PNG into `folder`; return the paths."""
    figures = dict(charts.figures(record))
    texts = {"report.html": page(record, figures), "table.txt": table(record), "table.md": markdown(record)}
    return write_files(folder, texts, figures)


def write_files(folder: Path, texts: Mapping[str, str], figures: Mapping[str, Figure]) -> list[Path]:
    """Write texts by file name and figures as PNGs, each whole or not at all; return the paths."""
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {f"{name}.png": encode(figure, "png") for name, figure in figures.items()}
    for name, content in contents.items():
        write_atomically(Path(folder) / name, content)
    return [Path(folder) / name for name in contents]


def compared(record: Compared) -> dict[str, Any]:
    """What the pages of a comparison and of a sweep have in common: the tables of the methods."""
    return {
        "results": results(record, relative=True),
        "note": RELATIVE_NOTE,
        "dominated": " ".join(dominated_note(record)),
        "drift": drift(record),
        "drift_note": drift_note(record),
        "costs": costs(record),
        "costs_note": COSTS_NOTE,
        "extra_tables": extra_tables(record),
        "rates": rates(record),
    }


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
    return environment.get_template(template).render(css=Markup(css), policy=policy, format=FORMAT, **values)


def caption(name: str) -> str:
    """What stands below a chart."""
    if name.startswith(charts.FRONT):
        return f"What was learnt against {name.removeprefix(charts.FRONT)}, at every learning rate"
    return CAPTIONS.get(name, f"{name} before and after")


def _hash(text: str) -> str:
    """`text` as a Content-Security-Policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def drawn(figures: Mapping[str, Figure]) -> list[tuple[str, Markup]]:
    """(caption, image) of every chart."""
    return [(caption(name), data_uri(figure)) for name, figure in figures.items()]


def data_uri(figure: Figure) -> Markup:
    # An image in a data URI keeps the ids inside one chart's SVG from colliding with those of the next.
    return Markup("data:image/svg+xml;base64," + base64.b64encode(encode(figure, "svg")).decode("ascii"))


def rates(record: Compared) -> Grid:
    """Every learning rate tried, on validation data, by which the rate is chosen, and on test data."""
    rows = []
    for name, method in record.methods.items():
        for rate in method.rates:
            pairs = (
                f"{score(rate.validation[axis_name], axis)} / {score(rate.test[axis_name], axis)}"
                for axis_name, axis in record.axes.items()
            )
            chosen = "chosen" if rate.chosen else ""
            rows.append((name, number(rate.learning_rate), *pairs, number(rate.delta_norm), chosen))
    titles = (f"{name}, validation / test" for name in record.axes)
    return Grid(("method", "learning rate", *titles, "|dW|", ""), tuple(rows))


def made(record: Record, **replaced: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """(title, facts) of what a record holds that no table shows; `replaced`: shorter forms of some parts."""
    parts = {**to_json(record), **replaced}
    return [(name, list(_flatten("", parts[name]))) for name in MADE if name in parts]


def _certificate(trained: Certificate) -> tuple[list[tuple[str, str]], Grid]:
    """Facts of a certificate, as trained and as exported, and its table with a row for every layer and space."""
    exported = trained.exported
    after_export = {(space.space, space.layer): space.leak for space in (exported and exported.spaces) or ()}

    def both(value: Callable[[Certificate], str]) -> str:
        return f"{value(trained)} (exported: {value(exported) if exported else '-'})"

    facts = [
        ("KL to the base, nat/token on held-out reference", both(divergence)),
        ("largest logit difference", both(lambda one: number(one.logit_max_difference))),
        ("|dW|", both(lambda one: number(one.delta_norm))),
        ("|dW| / |W|", both(lambda one: number(one.relative_delta_norm))),
        ("changed outside of the linears", ", ".join(trained.unprojected) or "nothing"),
    ]
    if trained.domain:
        facts.insert(1, ("KL to the base, nat/token on domain text", both(lambda one: divergence(one.domain))))
    rows = [
        (
            str(space.layer),
            space.space,
            f"{space.rank} / {space.width}",
            number(space.captured_heldout, ".2%"),
            _leaks(space.leak),
            _leaks(after_export.get((space.space, space.layer), {})),
        )
        for space in sorted(trained.spaces or (), key=lambda space: space.layer)
    ]
    header = ("layer", "input", "rank / width", "energy captured", "leak |dW Q| / |dW|", "leak after export")
    return facts, Grid(header, tuple(rows))


def _leaks(leaks: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {leak:.2g}" for name, leak in leaks.items()) or "-"


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """A nested mapping as (dotted key, value) rows, the keys as the command line spells them."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)

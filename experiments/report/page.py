"""The HTML report of a run: one self-contained page that fetches nothing, drawn from the record alone."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from experiments.report import charts, movement, table
from experiments.report.axes import details, groups
from experiments.report.columns import Grid
from experiments.report.reading import Compared, divergence, headline, number, score
from experiments.report.replies import FACETS, packed
from experiments.report.style import encode
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

#: Fields of a record and of its methods that "How it was made" lists; tables and charts show the rest.
MADE = ("config", "versions", "hardware", "data", "reference", "base", "judge", "methods", "timings", "watch")
MADE_OF_METHODS = (
    *("kind", "learning_rate", "delta_norm", "reference", "timings", "memory", "trained_parameters"),
    *("kept_step", "model", "cost"),
)


def page(record: ComparisonRecord, figures: Mapping[str, Figure]) -> str:
    """The whole report as HTML; all text from a model, a file or a user is escaped.

    figures: those of `charts.figures`. The page carries the hash of its one script, so that a browser runs no other
    script and fetches nothing.
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
        unjudged=table.unjudged(record),
        charts=drawn(figures),
        judge=record.judge.name if record.judge else None,
        axes=[(name, details(record, name), groups(record, name)) for name in record.axes],
        copies=copies(record),
        guarantee=table.GUARANTEE,
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
    texts = {"report.html": page(record, figures), "table.txt": table.table(record), "table.md": table.markdown(record)}
    return write_files(folder, texts, figures)


def write_files(folder: Path, texts: Mapping[str, str], figures: Mapping[str, Figure]) -> list[Path]:
    """Write texts by file name and figures as PNGs, each whole or not at all; return the paths."""
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {f"{name}.png": encode(figure, "png") for name, figure in figures.items()}
    for name, content in contents.items():
        write_atomically(Path(folder) / name, content)
    return [Path(folder) / name for name in contents]


def compared(record: Compared) -> dict[str, Any]:
    """Template values for the pages of comparisons and of sweeps: the tables of the methods."""
    return {
        "results": table.results(record, relative=True),
        "note": table.RELATIVE_NOTE,
        "dominated": " ".join(table.dominated_note(record)),
        "drift": table.drift(record),
        "drift_note": table.drift_note(record),
        "costs": table.costs(record),
        "costs_note": table.COSTS_NOTE,
        "extra_tables": table.extra_tables(record),
        "rates": rates(record),
    }


def render(template: str, *, script: str = "", **values: Any) -> str:
    """A page from a template of this folder, with the common style; script: file name of its only script, or ""."""
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
    """The text below a chart."""
    if name.startswith(charts.FRONT):
        return f"What was learnt against {name.removeprefix(charts.FRONT)}, at every learning rate"
    return CAPTIONS.get(name, f"{name} before and after")


def _hash(text: str) -> str:
    """SHA-256 of `text`, in the form by which a Content-Security-Policy allows an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def drawn(figures: Mapping[str, Figure]) -> list[tuple[str, Markup]]:
    """(caption, image) of every chart."""
    return [(caption(name), data_uri(figure)) for name, figure in figures.items()]


def data_uri(figure: Figure) -> Markup:
    # In a data URI, the ids inside one chart's SVG cannot collide with those of another.
    return Markup("data:image/svg+xml;base64," + base64.b64encode(encode(figure, "svg")).decode("ascii"))


def rates(record: Compared) -> Grid:
    """One row per method and learning rate: scores on validation data, by which the rate is chosen, and test data."""
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


def copies(record: ComparisonRecord) -> tuple[Grid, Grid] | None:
    """Tables of test data found in the domain text (trained on) or in the reference text (protected).

    (counts by axis and text, the copies that the record quotes); None if nothing was compared.
    """
    compared = [
        (axis, where, found)
        for axis, parts in (record.contamination or {}).items()
        for where, found in (("domain", parts.domain), ("reference", parts.reference))
        if found is not None
    ]
    if not compared:
        return None
    counts = (
        (axis, where, *(number(count, ",") for count in (found.examples, found.exact, found.near, found.prompt)))
        for axis, where, found in compared
    )
    spelt = (
        (axis, where, copy.kind, copy.evaluation, copy.training)
        for axis, where, found in compared
        for copy in found.copies
    )
    header = ("axis", "looked for in", "test examples", "exact copies", "near copies", "prompt alone")
    return Grid(header, tuple(counts)), Grid(("axis", "found in", "copy", "test example", "text found"), tuple(spelt))


def made(record: Record, **replaced: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """(title, facts) of the fields of a record that MADE lists; `replaced`: shorter forms of some of them."""
    parts = {**to_json(record), **replaced}
    return [(name, list(_flatten("", parts[name]))) for name in MADE if name in parts]


def _certificate(trained: Certificate) -> tuple[list[tuple[str, str]], Grid]:
    """(facts, table with one row per layer and space) of a certificate, after training and after export."""
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
    """A nested mapping as rows (dotted key, value), with keys as on the command line."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)

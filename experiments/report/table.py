"""Tables of a run as text: scores, drift and costs, one row per method."""

import textwrap

from experiments.report.axes import labels
from experiments.report.columns import Grid, aligned, widths
from experiments.report.pareto import DOMINATED, dominated
from experiments.report.pareto import NOTE as MARK_NOTE
from experiments.report.reading import (
    LEAK_ENERGIES,
    TARGET,
    Compared,
    before_scores,
    better,
    divergence,
    headline,
    leaks,
    negative_flips,
    number,
    score,
    shift,
    size,
    step_of_full,
)
from experiments.store.record import AxisDescription, ComparisonRecord, Level
from experiments.store.record.certificate import Interval
from experiments.store.record.method import MethodResult

WIDTH = 120
NAME_WIDTH = 20
NOTE = "In brackets the change; fractions change in percentage points. After ± the 95 % interval over examples."
RELATIVE_NOTE = NOTE.replace("points.", "points, then, where something was to be kept, relative to the base.")
COSTS_NOTE = (
    "peak: memory of a training step. extra state: what a method reads in every step in addition to weights and "
    "optimizer. reference: when it reads the reference text."
)
LEAK_NOTE = (
    "leak: |dW Q| / |dW| over all linears, Q the directions of the reference inputs that hold 80 and 99 % of their "
    "energy, the same for every method; in brackets that of a change with no preference."
)
GUARANTEE = (
    "What is guaranteed: in float32, an input whose hidden states lie in span(Q) at every layer gives the same output, "
    "if the leak is 0 and nothing outside of the linears changed. Real text never lies there wholly. What is measured "
    "is the KL to the base on held-out text like the reference, with its 95 % interval over texts, and on domain text."
)


def results(record: Compared, *, relative: bool = False) -> Grid:
    """Scores on every axis: one row for the base, then one per method with before -> after (change).

    After ±: the larger arm of the 95 % interval of the change (for the base: of the score). relative: add
    change / |before| on all axes except the target, which often starts near 0, where a ratio says nothing.
    """
    axes = record.axes
    header = ("method", *(_title(name, axis) for name, axis in axes.items()))
    rows = [("base", *(_base(record, name) for name in axes))]
    beaten = dominated(record)
    for name, method in record.methods.items():
        mark = DOMINATED if name in beaten else ""
        rows.append((name + mark, *(_change(method, axis_name, axis, relative) for axis_name, axis in axes.items())))
    return Grid(header, tuple(rows))


def drift(record: Compared) -> Grid:
    """Size and leak of each method's change, KL to the base, and flips; `drift_note` explains the columns.

    Leaks and the KL on domain text have columns only if some method has them.
    """
    columns: dict[str, list[str]] = {
        "method": list(record.methods),
        "|dW|": [number(method.delta_norm) for method in record.methods.values()],
    }
    certificates = [method.certificate for method in record.methods.values()]
    if _has_leaks(record):
        found = [leaks(certificate) for certificate in certificates]
        for at, energy in enumerate(LEAK_ENERGIES):
            columns[f"leak {energy:.0%} (no preference)"] = [cells[at] for cells in found]
    columns["KL (nat/token)"] = [divergence(certificate) for certificate in certificates]
    if any(certificate and certificate.domain for certificate in certificates):
        columns["KL, domain (nat/token)"] = [divergence(one.domain if one else None) for one in certificates]
    columns["flips"] = [number(negative_flips(method)) for method in record.methods.values()]
    return Grid(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def drift_note(record: Compared) -> str:
    """The meaning of the columns of `drift`."""
    leak = LEAK_NOTE if _has_leaks(record) else "The leak in bases that all methods share was not recorded."
    return (
        f"{leak} KL: to the base, on held-out text like the reference and, where it is shown, on domain text; after ± "
        "the 95 % interval over texts, if recorded. flips: answers that became wrong, on all axes."
    )


def costs(record: Compared) -> Grid:
    """Learning rate, step time and memory of each method, except those made elsewhere; COSTS_NOTE explains it."""
    relative = any(method.kind == "full" for method in record.methods.values())
    step = "step (of full)" if relative else "step (ms)"
    header = ("method", "rate", step, "peak", "extra state", "reference")
    rows = []
    for name, method in record.methods.items():
        if method.learning_rate is None:
            continue
        time = step_of_full(record, name) if relative else method.timings.step_milliseconds
        peak, constants = (None, None)  # of hosted systems
        if method.memory is not None:
            peak, constants = method.memory.peak_bytes, method.memory.constants_bytes
        rows.append(
            (name, number(method.learning_rate), number(time), size(peak), size(constants), method.reference or "-")
        )
    return Grid(header, tuple(rows))


def extra_tables(record: Compared) -> list[tuple[str, Grid]]:
    """(sentence, table): replies by label, changes at equal proficiency for each level, and the searches by `Auto`."""
    labelled = [(name, grid) for name in record.axes if (grid := labels(record, name))]
    return [
        *((f"Replies by label, {name}, before -> after (mean over seeds).", grid) for name, grid in labelled),
        *(_level(record, found) for found in record.matched),
        *searches(record),
    ]


def _level(record: Compared, found: Level) -> tuple[str, Grid]:
    others = {name: axis for name, axis in record.axes.items() if name != TARGET}
    rows = []
    for method, changes in found.changes.items():
        before = before_scores(record.methods[method])
        cells = (_matched(changes[name], before[name], axis) for name, axis in others.items())
        rows.append((method, *cells))
    why = "" if found.given else ", the best that LoRA reaches"
    level = score(found.proficiency, record.axes[TARGET]) + why
    sentence = (
        f"Change at equal {TARGET} ({level}), in brackets relative to the base; read off each method's "
        "learning-rate sweep with the first seed."
    )
    return sentence, Grid(("method", *(_title(name, axis) for name, axis in others.items())), tuple(rows))


def searches(record: Compared) -> list[tuple[str, Grid]]:
    """(sentence that says if the budget was kept, table of trials) of each method with a search by `Auto`."""
    header, found = ("learning rate", "K-FAC strength", "drift", f"{TARGET} on validation data", ""), []
    for name, search in ((name, method.search) for name, method in record.methods.items() if method.search):
        sentence = (
            f"{name}: a budget of {search.budget:.2%} was {'kept' if search.kept else 'not kept'}; the chosen one of "
            f"{len(search.trials)} trials drifts {search.realised_drift:.2%} on held-out text that no decision has "
            "seen."
        )
        rows = []
        for trial in search.trials:
            numbers = (number(trial.learning_rate), number(trial.kfac_strength), number(trial.drift, ".2%"))
            proficiency = score(trial.proficiency, record.axes[TARGET])
            rows.append((*numbers, proficiency, "chosen" if trial.chosen else ""))
        found.append((sentence, Grid(header, tuple(rows))))
    return found


def dominated_note(record: Compared) -> list[str]:
    """The note on the mark after dominated methods; empty if there are none."""
    return [MARK_NOTE] if dominated(record) else []


def unjudged(record: Compared) -> str | None:
    """A sentence with the numbers of examples left out because they have no verdict; None if there are none."""
    counts = {
        axis: ", ".join(
            f"{name} {count:,}"
            for name, method in record.methods.items()
            if axis in method.axes and (count := method.axes[axis].unjudged)
        )
        for axis in record.axes
    }
    left_out = "; ".join(f"{methods} ({axis})" for axis, methods in counts.items() if methods)
    return f"Examples left out as a judge gave no verdict on one of the two replies: {left_out}." if left_out else None


def sections(record: Compared, name_width: int = NAME_WIDTH) -> list[str]:
    """Every table for a terminal, each with its notes below: scores, drift, costs and `extra_tables`; no colour."""
    left_out = unjudged(record)
    notes = [NOTE, *dominated_note(record), *([left_out] if left_out else [])]
    parts = [
        aligned_text(results(record), name_width),
        "\n".join(textwrap.fill(note, WIDTH) for note in notes),
        aligned_text(drift(record), name_width),
        textwrap.fill(drift_note(record), WIDTH),
    ]
    if (cost := costs(record)).rows:
        parts += [aligned_text(cost, name_width), textwrap.fill(COSTS_NOTE, WIDTH)]
    for sentence, grid in extra_tables(record):
        parts += [textwrap.fill(sentence, WIDTH), aligned_text(grid, name_width)]
    return parts


def table(record: ComparisonRecord) -> str:
    """The result for a terminal; three axes fit into 120 columns."""
    title = f"{record.name}  (seeds {', '.join(map(str, record.seeds))})"
    return "\n\n".join([title, *sections(record)]) + "\n"


def markdown(record: ComparisonRecord) -> str:
    """The result as Markdown, with the headline, relative changes, and the command that made the record."""
    notes = [RELATIVE_NOTE, *map(_escape, dominated_note(record))]
    if left_out := unjudged(record):
        notes.append(_escape(left_out))
    parts = [_escape(headline(record)), piped(results(record, relative=True)), *notes]
    parts += [piped(drift(record)), drift_note(record)]
    if (cost := costs(record)).rows:
        parts += [piped(cost), COSTS_NOTE]
    for sentence, grid in extra_tables(record):
        parts += [_escape(sentence), piped(grid)]
    return "\n\n".join([*parts, made_by(record.command)]) + "\n"


def made_by(command: str) -> str:
    """The command that made a record, in Markdown."""
    return f"Made by\n\n```\n{command}\n```"


def _has_leaks(record: Compared) -> bool:
    return any(method.certificate and method.certificate.movement for method in record.methods.values())


def _title(name: str, axis: AxisDescription) -> str:
    unit = "" if axis.unit == "fraction" else f"{axis.unit}, "
    return f"{name} {axis.metric} ({unit}{better(axis)})"


def _arm(middle: float | None, ends: Interval, axis: AxisDescription) -> str:
    low, high = ends
    if middle is None or low is None or high is None:
        return ""
    return " ±" + score(max(middle - low, high - middle), axis).rstrip("%")


def _base(record: Compared, name: str) -> str:
    for method in record.methods.values():
        if measured := method.axes.get(name):
            axis = record.axes[name]
            return score(measured.before, axis) + _arm(measured.before, measured.before_interval, axis)
    return "-"


def _change(method: MethodResult, name: str, axis: AxisDescription, relative: bool) -> str:
    measured = method.axes.get(name)
    if measured is None:
        return "-"
    inside = shift(measured.change, axis) + _arm(measured.change, measured.change_interval, axis)
    if relative and name != TARGET and measured.relative_change is not None:
        inside += f", {number(measured.relative_change, '+z.1%')}"
    return f"{score(measured.before, axis)} -> {score(measured.after, axis)} ({inside})"


def _matched(change: float | None, before: float, axis: AxisDescription) -> str:
    if change is None:
        return "not reached"
    return shift(change, axis) + (f" ({change / abs(before):+z.1%})" if before else "")


def _shorten(name: str, width: int) -> str:
    name, mark = (name[: -len(DOMINATED)], DOMINATED) if name.endswith(DOMINATED) else (name, "")
    return (name if len(name) <= width else name[: width - 3] + "...") + mark


def aligned_text(grid: Grid, name_width: int = NAME_WIDTH) -> str:
    """The grid with padded columns; column titles, which may be long, continue in a second line from their bracket."""
    heads = [head.partition(" (") for head in grid.header]
    lines = [tuple(first for first, _, _ in heads)]
    if any(second for _, _, second in heads):
        lines.append(tuple(f"({second}" if second else "" for _, _, second in heads))
    head_count = len(lines)
    lines += [(_shorten(row[0], name_width), *row[1:]) for row in grid.rows]
    text = aligned(lines)
    text.insert(head_count, "  ".join("-" * width for width in widths(lines)))
    return "\n".join(text)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def piped(grid: Grid) -> str:
    """The grid as a Markdown table."""
    lines = [grid.header, ("---",) * len(grid.header), *grid.rows]
    return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)

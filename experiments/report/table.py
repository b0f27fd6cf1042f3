"""The result of a run as text: one row for the base and one for each method."""

import textwrap
from dataclasses import dataclass

from experiments.report.columns import aligned, widths
from experiments.report.reading import TARGET, Record, base_scores, duration, headline, number, score, shift, worst_leak

WIDTH = 120
NAME_WIDTH = 20
NOTE = "In brackets the change; fractions change in percentage points. After ± the 95 % interval over examples."
RELATIVE_NOTE = NOTE.replace("points.", "points, then, where something was to be kept, relative to the base.")


@dataclass(frozen=True)
class Grid:
    """A header and rows of ready text; every row is as long as the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def results(record: Record, *, relative: bool = False) -> Grid:
    """Scores: the base's on every axis, then before -> after and the change of each method.

    After ± stands the larger arm of the change's 95 % interval (of the score's, for the base). `relative` adds
    change / before on the axes to be kept (the target often starts near 0, where a ratio says nothing).
    """
    axes = record["axes"]
    header = ("method", *(_title(name, axis) for name, axis in axes.items()))
    rows = [("base", *(_base(record, name) for name in axes))]
    for name, method in record["methods"].items():
        rows.append((name, *(_change(method, axis_name, axis, relative) for axis_name, axis in axes.items())))
    return Grid(header, tuple(rows))


def costs(record: Record) -> Grid:
    """What each method changed in the weights, what leaked and drifted, and what it took."""
    header = ("method", "learning rate", "trained", "|dW|/|W|", "worst leak", "KL nat/token", "train time")
    rows = []
    for name, method in record["methods"].items():
        certificate = method["certificate"] or {}  # none without reference text
        rows.append(
            (
                name,
                number(method["learning_rate"]),
                number(method["trained_parameters"], ","),
                number(certificate.get("relative_delta_norm")),
                number(worst_leak(method["certificate"])),
                number(certificate.get("logit_kl")),
                duration(method["timings"]["train_seconds"]),
            )
        )
    return Grid(header, tuple(rows))


def matched(record: Record) -> tuple[str, Grid] | None:
    """What each swept method lost at one target score, and the sentence that says so; None without a swept LoRA."""
    found = record.get("matched")
    if not found:
        return None
    others = {name: axis for name, axis in record["axes"].items() if name != TARGET}
    before = base_scores(record)
    rows = []
    for method, changes in found["changes"].items():
        cells = (_matched(changes[name], before[name], axis) for name, axis in others.items())
        rows.append((method, *cells))
    level = score(found[TARGET], record["axes"][TARGET])
    sentence = (
        f"Change at equal {TARGET} ({level}, the best that LoRA reaches), in brackets relative to the base; "
        "read off each method's learning-rate sweep with the first seed."
    )
    return sentence, Grid(("method", *(_title(name, axis) for name, axis in others.items())), tuple(rows))


def unjudged(record: Record) -> str | None:
    """The sentence that counts the examples left out for want of a verdict; None where there were none."""
    counts = {
        axis: ", ".join(
            f"{name} {count:,}"
            for name, method in record["methods"].items()
            if (count := method["axes"].get(axis, {}).get("unjudged"))
        )
        for axis in record["axes"]
    }
    left_out = "; ".join(f"{methods} ({axis})" for axis, methods in counts.items() if methods)
    return f"Examples left out as a judge gave no verdict on one of the two replies: {left_out}." if left_out else None


def table(record: Record) -> str:
    """The result for a terminal: scores, costs, losses at equal target; 120 columns do for three axes; no colour."""
    title = f"{record['name']}  (seeds {', '.join(map(str, record['seeds']))})"
    left_out = unjudged(record)
    note = NOTE + ("\n" + textwrap.fill(left_out, WIDTH) if left_out else "")
    parts = [title, _aligned(results(record)), note, _aligned(costs(record))]
    if equal := matched(record):
        parts += [textwrap.fill(equal[0], WIDTH), _aligned(equal[1])]
    return "\n\n".join(parts) + "\n"


def markdown(record: Record) -> str:
    """The same for a README, with the headline, relative changes, and the command that made them."""
    parts = [_escape(headline(record)), piped(results(record, relative=True)), RELATIVE_NOTE, piped(costs(record))]
    if left_out := unjudged(record):
        parts.insert(3, _escape(left_out))
    if equal := matched(record):
        parts += [_escape(equal[0]), piped(equal[1])]
    return "\n\n".join([*parts, f"Made by\n\n```\n{record['command']}\n```"]) + "\n"


def _title(name: str, axis: Record) -> str:
    unit = "" if axis["unit"] == "fraction" else f"{axis['unit']}, "
    return f"{name} {axis['metric']} ({unit}{'higher' if axis['higher_is_better'] else 'lower'} is better)"


def _arm(middle: float | None, ends: list[float], axis: Record) -> str:
    if middle is None or None in ends:
        return ""
    return " ±" + score(max(middle - ends[0], ends[1] - middle), axis).rstrip("%")


def _base(record: Record, name: str) -> str:
    for method in record["methods"].values():
        if measured := method["axes"].get(name):
            before, axis = measured["before"], record["axes"][name]
            return score(before, axis) + _arm(before, measured["before_interval"], axis)
    return "-"


def _change(method: Record, name: str, axis: Record, relative: bool) -> str:
    measured = method["axes"].get(name)
    if measured is None:
        return "-"
    inside = shift(measured["change"], axis) + _arm(measured["change"], measured["change_interval"], axis)
    if relative and name != TARGET and measured["relative_change"] is not None:
        inside += f", {number(measured['relative_change'], '+z.1%')}"
    return f"{score(measured['before'], axis)} -> {score(measured['after'], axis)} ({inside})"


def _matched(change: float | None, before: float, axis: Record) -> str:
    if change is None:
        return "not reached"
    return shift(change, axis) + (f" ({change / abs(before):+z.1%})" if before else "")


def _shorten(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 3] + "..."


def _aligned(grid: Grid) -> str:
    """Columns padded to their widest cell; axis titles, which may be long, wrap onto a second line at the bracket."""
    heads = [head.partition(" (") for head in grid.header]
    lines = [tuple(first for first, _, _ in heads)]
    if any(second for _, _, second in heads):
        lines.append(tuple(f"({second}" if second else "" for _, _, second in heads))
    head_count = len(lines)
    lines += [(_shorten(row[0]), *row[1:]) for row in grid.rows]
    text = aligned(lines)
    text.insert(head_count, "  ".join("-" * width for width in widths(lines)))
    return "\n".join(text)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def piped(grid: Grid) -> str:
    """The grid as a table in Markdown."""
    lines = [grid.header, ("---",) * len(grid.header), *grid.rows]
    return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)

"""The result of a run as text: one row for the base and one for each method."""

import textwrap

from experiments.report.columns import Grid, aligned, widths
from experiments.report.pareto import DOMINATED, dominated
from experiments.report.pareto import NOTE as MARK_NOTE
from experiments.report.reading import (
    TARGET,
    Record,
    before_scores,
    headline,
    negative_flips,
    number,
    score,
    shift,
    size,
    step_of_full,
    worst_leak,
)
from experiments.report.searches import searches

WIDTH = 120
NAME_WIDTH = 20
NOTE = "In brackets the change; fractions change in percentage points. After ± the 95 % interval over examples."
COSTS_NOTE = (
    "leak: largest |dW Q| / |dW|. flips: answers that became wrong, on all axes. peak: memory of a training step.\n"
    "extra state: what a method reads in every step beside weights and optimizer. reference: when it reads that text."
)
RELATIVE_NOTE = NOTE.replace("points.", "points, then, where something was to be kept, relative to the base.")


def results(record: Record, *, relative: bool = False) -> Grid:
    """Scores: the base's on every axis, then before -> after and the change of each method.

    After ± stands the larger arm of the change's 95 % interval (of the score's, for the base). `relative` adds
    change / before on the axes to be kept (the target often starts near 0, where a ratio says nothing).
    """
    axes = record["axes"]
    header = ("method", *(_title(name, axis) for name, axis in axes.items()))
    rows = [("base", *(_base(record, name) for name in axes))]
    beaten = dominated(record)
    for name, method in record["methods"].items():
        mark = DOMINATED if name in beaten else ""
        rows.append((name + mark, *(_change(method, axis_name, axis, relative) for axis_name, axis in axes.items())))
    return Grid(header, tuple(rows))


def costs(record: Record) -> Grid:
    """What each method changed in the weights, what leaked and drifted, and what it took; COSTS_NOTE explains it."""
    relative = any(method["kind"] == "full" for method in record["methods"].values())
    step = "step (of full)" if relative else "step (ms)"
    header = ("method", "rate", "|dW|", "leak", "KL (nat/token)", "flips", step, "peak", "extra state", "reference")
    rows = []
    for name, method in record["methods"].items():
        certificate = method["certificate"] or {}  # none without reference text
        memory = method.get("memory") or {}  # none of hosted systems
        time = step_of_full(record, name) if relative else method["timings"]["step_milliseconds"]
        rows.append(
            (
                name,
                number(method["learning_rate"]),
                number(method["delta_norm"]),
                number(worst_leak(method["certificate"])),
                number(certificate.get("logit_kl")),
                number(negative_flips(method)),
                number(time),
                size(memory.get("peak_bytes")),
                size(memory.get("constants_bytes")),
                method.get("reference", "-"),
            )
        )
    return Grid(header, tuple(rows))


def told(record: Record) -> list[tuple[str, Grid]]:
    """Sentences, each with a table: what swept methods lost at each level of proficiency, and how `Auto` searched."""
    return [*(_level(record, found) for found in record.get("matched", [])), *searches(record)]


def _level(record: Record, found: Record) -> tuple[str, Grid]:
    others = {name: axis for name, axis in record["axes"].items() if name != TARGET}
    rows = []
    for method, changes in found["changes"].items():
        before = before_scores(record["methods"][method])
        cells = (_matched(changes[name], before[name], axis) for name, axis in others.items())
        rows.append((method, *cells))
    why = "" if found["given"] else ", the best that LoRA reaches"
    level = score(found[TARGET], record["axes"][TARGET]) + why
    sentence = (
        f"Change at equal {TARGET} ({level}), in brackets relative to the base; read off each method's "
        "learning-rate sweep with the first seed."
    )
    return sentence, Grid(("method", *(_title(name, axis) for name, axis in others.items())), tuple(rows))


def dominated_note(record: Record) -> list[str]:
    """What the mark behind a method means, where there is one."""
    return [MARK_NOTE] if dominated(record) else []


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
    notes = [NOTE, *dominated_note(record)] + ([textwrap.fill(left_out, WIDTH)] if left_out else [])
    parts = [title, aligned_text(results(record)), "\n".join(notes), aligned_text(costs(record)), COSTS_NOTE]
    for sentence, grid in told(record):
        parts += [textwrap.fill(sentence, WIDTH), aligned_text(grid)]
    return "\n\n".join(parts) + "\n"


def markdown(record: Record) -> str:
    """The same for a README, with the headline, relative changes, and the command that made them."""
    notes = [RELATIVE_NOTE, *map(_escape, dominated_note(record))]
    if left_out := unjudged(record):
        notes.append(_escape(left_out))
    scores = piped(results(record, relative=True))
    parts = [_escape(headline(record)), scores, *notes, piped(costs(record)), COSTS_NOTE.replace("\n", " ")]
    for sentence, grid in told(record):
        parts += [_escape(sentence), piped(grid)]
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


def _shorten(name: str, width: int) -> str:
    name, mark = (name[: -len(DOMINATED)], DOMINATED) if name.endswith(DOMINATED) else (name, "")
    return (name if len(name) <= width else name[: width - 3] + "...") + mark


def aligned_text(grid: Grid, name_width: int = NAME_WIDTH) -> str:
    """Columns padded to their widest cell; axis titles, which may be long, wrap onto a second line at the bracket."""
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
    """The grid as a table in Markdown."""
    lines = [grid.header, ("---",) * len(grid.header), *grid.rows]
    return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)

"""Tables of everything measured on one axis: by method, by group, and by label of the replies."""

from experiments.report.columns import Grid
from experiments.report.reading import Compared, number, score, shift, span
from experiments.store.record import ComparisonRecord
from experiments.store.record.method import Group

#: Columns to leave out if no method has a value, with the cell that stands for a missing value.
_UNMEASURED = {"p, Holm": "-", "without verdict": "-", "flips to wrong / right": "- / -", "relative": "-"}


def details(record: Compared, axis_name: str) -> Grid:
    """One row per method: intervals, test, flips and scores by seed, without empty columns of _UNMEASURED."""
    axis, rows = record.axes[axis_name], []
    for name, method in record.methods.items():
        if (seen := method.axes.get(axis_name)) is None:
            continue
        change = f"{shift(seen.change, axis)} [{', '.join(shift(end, axis) for end in seen.change_interval)}]"
        rows.append(
            {
                "method": name,
                "before": f"{score(seen.before, axis)} {span(seen.before_interval, axis)}",
                "after": f"{score(seen.after, axis)} {span(seen.after_interval, axis)}",
                "change": change,
                "relative": number(seen.relative_change, "+z.1%"),
                "p": number(seen.p_value, ".2g"),
                "p, Holm": number(seen.p_value_holm, ".2g"),
                "flips to wrong / right": f"{number(seen.negative_flips)} / {number(seen.positive_flips)}",
                "examples": number(seen.examples, ","),
                "without verdict": number(seen.unjudged, ","),
                "after, by seed": ", ".join(f"{run.seed}: {score(run.after, axis)}" for run in seen.seeds),
            }
        )
    header = tuple(rows[0]) if rows else ()
    kept = [
        title for title in header if title not in _UNMEASURED or any(row[title] != _UNMEASURED[title] for row in rows)
    ]
    return Grid(tuple(kept), tuple(tuple(row[title] for title in kept) for row in rows))


def groups(record: ComparisonRecord, axis_name: str) -> Grid | None:
    """One row per group: before -> after (change) of every method, the group with the worst change of any method first.

    Groups without a known change come last. None if no method has groups.
    """
    axis = record.axes[axis_name]
    sign = 1 if axis.higher_is_better else -1
    results = {name: method.axes.get(axis_name) for name, method in record.methods.items()}
    measured = {name: result.groups for name, result in results.items() if result and result.groups}
    if not measured:
        return None
    rows = []
    for group in dict.fromkeys(group for found in measured.values() for group in found):
        parts = [found.get(group) for found in measured.values()]
        changes = [_change(part) for part in parts]
        worst = min((sign * change for change in changes if change is not None), default=float("inf"))
        counts = [part.examples for part in parts if part]
        count = number(min(counts), ",") + (f" to {max(counts):,}" if min(counts) != max(counts) else "")
        cells = (
            f"{score(part.before, axis)} -> {score(part.after, axis)} ({shift(change, axis)})" if part else "-"
            for part, change in zip(parts, changes, strict=True)
        )
        rows.append((worst, (group, count, *cells)))
    rows.sort(key=lambda row: row[0])
    return Grid(("group", "examples", *measured), tuple(row for _, row in rows))


def labels(record: Compared, axis_name: str) -> Grid | None:
    """One row per method: number of replies with each label, before -> after; None if replies have no labels."""
    results = {name: method.axes.get(axis_name) for name, method in record.methods.items()}
    measured = {name: result.labels for name, result in results.items() if result and result.labels}
    if not measured:
        return None
    names = sorted({label for found in measured.values() for label in found})
    rows = (
        (name, *(" -> ".join(f"{count:,g}" for count in found.get(label, (0, 0))) for label in names))
        for name, found in measured.items()
    )
    return Grid(("method", *names), tuple(rows))


def _change(part: Group | None) -> float | None:
    if part is None or part.before is None or part.after is None:
        return None
    return part.after - part.before

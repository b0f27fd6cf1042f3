"""Everything measured on one axis, as tables: the methods side by side, and broken down by group."""

from experiments.report.columns import Grid
from experiments.report.reading import Record, number, score, shift, span


def details(record: Record, axis_name: str) -> Grid:
    """A row a method: intervals, test, flips and the single seeds; only columns that some method was measured for."""
    axis = record["axes"][axis_name]
    header, rows = (), []
    for name, method in record["methods"].items():
        if (seen := method["axes"].get(axis_name)) is None:
            continue
        change = f"{shift(seen['change'], axis)} [{', '.join(shift(end, axis) for end in seen['change_interval'])}]"
        cells = {
            "method": name,
            "before": f"{score(seen['before'], axis)} {span(seen['before_interval'], axis)}",
            "after": f"{score(seen['after'], axis)} {span(seen['after_interval'], axis)}",
            "change": change,
            "relative": number(seen["relative_change"], "+z.1%"),
            "p": number(seen["p_value"], ".2g"),
            "p, Holm": number(seen.get("p_value_holm"), ".2g"),
            "flips to wrong / right": f"{number(seen['negative_flips'])} / {number(seen['positive_flips'])}",
            "examples": number(seen["examples"], ","),
            "without verdict": number(seen.get("unjudged"), ","),
            "after, by seed": ", ".join(f"{run['seed']}: {score(run['after'], axis)}" for run in seen["seeds"]),
        }
        header = tuple(cells)
        rows.append(tuple(cells.values()))
    unmeasured = {"p, Holm": "-", "without verdict": "-", "flips to wrong / right": "- / -", "relative": "-"}
    kept = [
        place
        for place, title in enumerate(header)
        if title not in unmeasured or any(row[place] != unmeasured[title] for row in rows)
    ]
    return Grid(tuple(header[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in rows))


def groups(record: Record, axis_name: str) -> Grid | None:
    """A row a group: before -> after (change) of every method; the group that some method changed worst comes first.

    None where no method was broken down. Groups whose change is not known come last.
    """
    axis = record["axes"][axis_name]
    sign = 1 if axis["higher_is_better"] else -1
    measured = {
        name: found
        for name, method in record["methods"].items()
        if (found := method["axes"].get(axis_name, {}).get("groups"))
    }
    if not measured:
        return None
    rows = []
    for group in dict.fromkeys(group for found in measured.values() for group in found):
        parts = [found.get(group) for found in measured.values()]
        changes = [_change(part) for part in parts]
        worst = min((sign * change for change in changes if change is not None), default=float("inf"))
        counts = [part["examples"] for part in parts if part]
        count = number(min(counts), ",") + (f" to {max(counts):,}" if min(counts) != max(counts) else "")
        cells = (
            f"{score(part['before'], axis)} -> {score(part['after'], axis)} ({shift(change, axis)})" if part else "-"
            for part, change in zip(parts, changes, strict=True)
        )
        rows.append((worst, (group, count, *cells)))
    rows.sort(key=lambda row: row[0])
    return Grid(("group", "examples", *measured), tuple(row for _, row in rows))


def _change(part: Record | None) -> float | None:
    if part is None or part["before"] is None or part["after"] is None:
        return None
    return part["after"] - part["before"]

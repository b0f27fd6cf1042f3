"""What of the test data was found in the text that was trained on or protected, as tables."""

from collections.abc import Iterator, Mapping

from experiments.report.columns import Grid
from experiments.report.reading import Record, number

_COUNTS = {"examples": "test examples", "exact": "exact copies", "near": "near copies", "prompt": "prompt alone"}


def copies(record: Record) -> tuple[Grid, Grid] | None:
    """Counts by axis and text, and the copies that the record spells out; None where nothing was compared."""
    compared = list(_compared(record))
    if not compared:
        return None
    counts = tuple(
        (axis, where, *(number(found.get(name), ",") for name in _COUNTS)) for axis, where, found in compared
    )
    spelt = tuple(
        (axis, where, copy["kind"], copy["evaluation"], copy["training"])
        for axis, where, found in compared
        for copy in found.get("copies", [])
    )
    return (
        Grid(("axis", "looked for in", *_COUNTS.values()), counts),
        Grid(("axis", "found in", "copy", "test example", "text found"), spelt),
    )


def _compared(record: Record) -> Iterator[tuple[str, str, Record]]:
    """(axis, "domain" or "reference", counts)."""
    for axis, parts in record.get("contamination", {}).items():
        for where, found in parts.items():
            if isinstance(found, Mapping):
                yield axis, where, found

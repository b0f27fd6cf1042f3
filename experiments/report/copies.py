"""What of the test data was found in the text that was trained on or protected, as tables."""

from experiments.report.columns import Grid
from experiments.report.reading import number
from experiments.store.record import ComparisonRecord


def copies(record: ComparisonRecord) -> tuple[Grid, Grid] | None:
    """Counts by axis and text, and the copies that the record spells out; None where nothing was compared."""
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

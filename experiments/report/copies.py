"""Tables of test data found in the domain text (trained on) or in the reference text (protected)."""

from experiments.report.columns import Grid
from experiments.report.reading import number
from experiments.store.record import ComparisonRecord


def copies(record: ComparisonRecord) -> tuple[Grid, Grid] | None:
    """(counts by axis and text, the copies that the record quotes); None if nothing was compared."""
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

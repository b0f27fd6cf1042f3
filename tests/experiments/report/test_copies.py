"""Copies of test data, as tables."""

from __future__ import annotations

from experiments.report.page import copies
from tests.experiments.report.builder import typed


def test_counts_by_axis_and_text(judged_record) -> None:
    found = copies(typed(judged_record))
    assert found is not None
    assert found[0].rows == (("safety", "domain", "300", "0", "7", "3"), ("safety", "reference", "300", "2", "7", "3"))
    assert [row[:3] for row in found[1].rows] == [("safety", "reference", "near")]


def test_what_was_not_compared_has_no_table(record) -> None:
    assert copies(typed(record)) is None
    record["contamination"] = {}
    assert copies(typed(record)) is None


def test_a_count_that_a_record_lacks_is_a_dash(judged_record) -> None:
    del judged_record["contamination"]["safety"]["domain"]["prompt"]
    found = copies(typed(judged_record))
    assert found is not None and found[0].rows[0][-1] == "-"

"""Table, charts and page of a comparison, a sweep or a sequence, drawn from its record alone."""

from pathlib import Path

from experiments.report import sequence
from experiments.report.page import page, write_report
from experiments.report.sweeps import sweep_page, sweep_table, write_sweep_report
from experiments.report.table import markdown, table
from experiments.store.record import ComparisonRecord, Record, SequenceRecord, SweepRecord


def draw(record: Record, folder: Path) -> tuple[str, Path]:
    """Write the report of any record into `folder`; return its table for a terminal and the path of its main file."""
    if isinstance(record, SweepRecord):
        return sweep_table(record), write_sweep_report(record, folder)[0]
    if isinstance(record, SequenceRecord):
        return sequence.table(record), sequence.write_report(record, folder)
    assert isinstance(record, ComparisonRecord)
    return table(record), write_report(record, folder)[0]


__all__ = ["draw", "markdown", "page", "sweep_page", "sweep_table", "table", "write_report", "write_sweep_report"]

"""Table, charts and page of a run or a sweep, drawn from its record alone."""

from experiments.report.charts import write_charts
from experiments.report.page import page, write_report
from experiments.report.sweeps import sweep_page, sweep_table, write_sweep_report
from experiments.report.table import markdown, table

__all__ = [
    "markdown",
    "page",
    "sweep_page",
    "sweep_table",
    "table",
    "write_charts",
    "write_report",
    "write_sweep_report",
]

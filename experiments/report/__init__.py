"""Table, charts and page of a run, drawn from its record alone."""

from experiments.report.charts import write_charts
from experiments.report.page import page, write_report
from experiments.report.table import markdown, table

__all__ = ["markdown", "page", "table", "write_charts", "write_report"]

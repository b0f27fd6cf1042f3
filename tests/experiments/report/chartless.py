"""Pages without charts: these take most of the time, and many tests do not look at them."""

from typing import Any

from matplotlib.figure import Figure

from experiments.report.page import page
from tests.experiments.report.builder import typed


def drawn(record: dict[str, Any], **charts: Figure) -> str:
    """The page of a record with these charts alone."""
    return page(typed(record), charts)

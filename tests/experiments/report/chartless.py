"""Pages without charts: these take most of the time, and many tests do not look at them."""

from typing import Any

import pytest

from experiments.report.page import page


def drawn(record: dict[str, Any]) -> str:
    """The page of a record as it would be if no axis could be drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.report.charts.figures", lambda record: iter(()))
        return page(record)

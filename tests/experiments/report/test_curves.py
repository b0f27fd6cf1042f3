"""What the chart of evaluation while training shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from experiments.report.charts import curves, figures
from experiments.report.style import looks
from tests.experiments.report.builder import typed
from tests.experiments.report.chartless import drawn


@pytest.fixture
def watched_record(record) -> dict[str, Any]:
    """Two of the methods were looked at three times; a judge had no verdict once."""
    record["watch"] = {"base": {"proficiency": 0.05, "safety": 0.8, "knowledge": 0.6}, "rule": "the one nearest north"}
    for name, kept in (("lora", 20), ("projection", 30)):
        record["methods"][name]["watched"] = [
            {"step": step, "means": {"proficiency": step / 40, "safety": None if step == 10 else 0.5, "knowledge": 0.4}}
            for step in (10, 20, 30)
        ]
        record["methods"][name]["kept_step"] = kept
    return record


def test_a_panel_an_axis_and_a_line_a_method(watched_record) -> None:
    panels: list[Any] = curves(typed(watched_record)).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["proficiency", "safety", "knowledge"]
    lora, projection, base = panels[0].lines
    np.testing.assert_array_equal(lora.get_xydata(), [(10, 0.25), (20, 0.5), (30, 0.75)])
    np.testing.assert_array_equal(panels[1].lines[0].get_ydata(), [np.nan, 0.5, 0.5])
    assert set(base.get_ydata()) == {0.05}
    assert to_hex(projection.get_color()).upper() == looks(watched_record["methods"])["projection"][0]
    kept = [points.get_offsets().tolist() for points in panels[0].collections]
    assert kept == [[[20, 0.5]], [[30, 0.75]]]


def test_it_is_drawn_where_something_was_watched(record, watched_record) -> None:
    assert [name for name, _ in figures(typed(watched_record))][-1] == "watched"
    text = drawn(watched_record, watched=curves(typed(watched_record)))
    assert "the large point is the step whose weights were kept" in text and "the one nearest north" in text
    for method in record["methods"].values():
        method.pop("watched", None)
    assert "watched" not in [name for name, _ in figures(typed(record))]

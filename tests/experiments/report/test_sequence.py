"""Table and chart of domains learnt one after the other, from a record made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.report.sequence import chart, markdown, table, write_report

FRACTION = {"metric": "accuracy", "unit": "fraction", "higher_is_better": True}
LOSS = {"metric": "loss", "unit": "nat/token", "higher_is_better": False}


def certificate(kl: float) -> dict[str, Any]:
    return {"relative_delta_norm": 0.25, "logit_kl": kl, "spaces": [{"layer": 0, "leak": {"q": 1e-7, "k": 2e-7}}]}


def stage(name: str, hotel: float, boats: float, story: float | None, kl: float) -> dict[str, Any]:
    scores = {"hotel": hotel, "boats": boats, "story": story}
    return {"stage": name, "scores": scores, "certificate": certificate(kl), "against_first": certificate(2 * kl)}


@pytest.fixture
def record() -> dict[str, Any]:
    return {
        "name": "pair",
        "seeds": [0],
        "command": "jaxft sequence pair.py",
        "stages": ["hotel", "boats"],
        "axes": {"hotel": FRACTION, "boats": FRACTION, "story": LOSS},
        "before": {"hotel": 0.0, "boats": 0.1, "story": 1.5},
        "methods": {
            "full": {
                "stages": [stage("hotel", 0.99, 0.2, 2.0, 0.5), stage("boats", 0.4, 0.9, None, 0.75)],
                "backward_transfer": -0.59,
            },
            "pipe|d": {
                "stages": [
                    {**stage("hotel", 0.98, 0.1, 1.6, 0), "certificate": None, "against_first": None},
                    stage("boats", 0.97, 0.8, 1.7, 0.01),
                ],
                "backward_transfer": None,
            },
        },
    }


def test_a_row_for_every_stage(record) -> None:
    lines = table(record).splitlines()
    assert lines[0] == "pair  (seeds 0)"
    rows = [line.split() for line in lines[3:8]]
    assert rows == [
        ["base", "-", "0.0%", "10.0%", "1.500", "-", "-", "-", "-"],
        ["full", "hotel", "99.0%", "20.0%", "2.000", "0.25", "2e-07", "0.5", "1"],
        ["full", "boats", "40.0%", "90.0%", "-", "0.25", "2e-07", "0.75", "1.5"],
        ["pipe|d", "hotel", "98.0%", "10.0%", "1.600", "-", "-", "-", "-"],
        ["pipe|d", "boats", "97.0%", "80.0%", "1.700", "0.25", "2e-07", "0.01", "0.02"],
    ]
    assert lines[-2:] == [
        "backward transfer of full: -59.0 points, higher is better",
        "backward transfer of pipe|d: - points, higher is better",
    ]


def test_losses_are_told_as_losses(record) -> None:
    record["axes"]["hotel"] = LOSS
    assert "backward transfer of full: -0.590 nat/token, lower is better" in table(record)


def test_markdown_has_whole_rows(record) -> None:
    lines = [line for line in markdown(record).splitlines() if line.startswith("|")]
    assert len(lines) == 7 and {line.replace("\\|", "").count("|") for line in lines} == {10}
    assert "```\njaxft sequence pair.py\n```" in markdown(record)


def test_a_panel_an_axis_and_a_line_a_method(record) -> None:
    figure = chart(record)
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title(loc="left") for panel in panels] == ["hotel", "boats", "story"]
    for panel in panels:
        assert [label.get_text() for label in panel.get_xticklabels()] == ["base", "hotel", "boats"]
        assert [np.size(line.get_ydata()) for line in panel.get_lines()] == [3, 3]
    assert panels[0].get_ylim() == panels[1].get_ylim() != panels[2].get_ylim()
    full, _ = panels[0].get_lines()
    assert np.array_equal(full.get_ydata(), [0.0, 0.99, 0.4])


def test_the_files(record, tmp_path) -> None:
    path = write_report(record, tmp_path)
    assert path.name == "sequence.png" and path.stat().st_size > 1000
    assert (tmp_path / "table.txt").read_text() == table(record) + "\n"
    assert (tmp_path / "table.md").read_text() == markdown(record)

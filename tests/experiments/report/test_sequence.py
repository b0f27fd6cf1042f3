"""Table and chart of domains learnt one after the other, from a record made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.report.sequence import chart, markdown, table, write_report
from experiments.store.record import AxisDescription, SequenceMethod, SequenceRecord, Stage, TotalTime
from experiments.store.record.certificate import Certificate, Movement
from experiments.store.record.method import NOT_TIMED

FRACTION = AxisDescription(task="hotel", metric="accuracy", unit="fraction", higher_is_better=True, examples=9)
LOSS = AxisDescription(task="likelihood", metric="loss", unit="nat/token", higher_is_better=False, examples=9)


def certificate(kl: float) -> Certificate:
    where = Movement(changed_above=1e-3, energies=(0.8, 0.99), shares=(4e-14, 0.25), isotropic=(0.25, 0.81), linears={})
    return Certificate(
        relative_delta_norm=0.25, logit_kl=kl, logit_max_difference=1.0, unprojected=(), spaces=(), movement=where
    )


def stage(name: str, hotel: float, boats: float, story: float | None, kl: float) -> Stage:
    return Stage(
        stage=name,
        scores={"hotel": hotel, "boats": boats, "story": story},
        seeds=(),
        delta_norm=1.0,
        certificate=certificate(kl),
        against_first=certificate(2 * kl),
        timings=NOT_TIMED,
        trained_parameters=1,
    )


def method(backward_transfer: float | None, *stages: Stage) -> SequenceMethod:
    return SequenceMethod(kind="full", learning_rate=1e-3, rates=(), stages=stages, backward_transfer=backward_transfer)


@pytest.fixture
def record() -> SequenceRecord:
    uncertified = replace(stage("hotel", 0.98, 0.1, 1.6, 0), certificate=None, against_first=None)
    return SequenceRecord(
        name="pair",
        command="jaxft sequence pair.py",
        created="2025-01-02T03:04:05+00:00",
        **dict.fromkeys(("config", "versions", "hardware", "base", "data", "contamination"), {}),
        judge=None,
        reference=None,
        timings=TotalTime(total_seconds=1.0),
        seeds=(0,),
        stages=("hotel", "boats"),
        axes={"hotel": FRACTION, "boats": FRACTION, "story": LOSS},
        before={"hotel": 0.0, "boats": 0.1, "story": 1.5},
        methods={
            "full": method(-0.59, stage("hotel", 0.99, 0.2, 2.0, 0.5), stage("boats", 0.4, 0.9, None, 0.75)),
            "pipe|d": method(None, uncertified, stage("boats", 0.97, 0.8, 1.7, 0.01)),
        },
    )


def test_a_row_for_every_stage(record) -> None:
    lines = table(record).splitlines()
    assert lines[0] == "pair  (seeds 0)"
    rows = [line.split() for line in lines[3:8]]
    leak = ["2e-07", "(0.5)", "0.5", "(0.9)"]
    assert rows == [
        ["base", "-", "0.0%", "10.0%", "1.500", "-", "-", "-", "-", "-"],
        ["full", "hotel", "99.0%", "20.0%", "2.000", "0.25", *leak, "0.5", "1"],
        ["full", "boats", "40.0%", "90.0%", "-", "0.25", *leak, "0.75", "1.5"],
        ["pipe|d", "hotel", "98.0%", "10.0%", "1.600", "-", "-", "-", "-", "-"],
        ["pipe|d", "boats", "97.0%", "80.0%", "1.700", "0.25", *leak, "0.01", "0.02"],
    ]
    assert "in brackets that of a change with no preference" in table(record)
    assert lines[-2:] == [
        "backward transfer of full: -59.0 points, higher is better",
        "backward transfer of pipe|d: - points, higher is better",
    ]


def test_losses_are_told_as_losses(record) -> None:
    losses = replace(record, axes={**record.axes, "hotel": LOSS})
    assert "backward transfer of full: -0.590 nat/token, lower is better" in table(losses)


def test_markdown_has_whole_rows(record) -> None:
    lines = [line for line in markdown(record).splitlines() if line.startswith("|")]
    assert len(lines) == 7 and {line.replace("\\|", "").count("|") for line in lines} == {11}
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

"""Which charts are drawn, and what they show."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from experiments.report.charts import bars, figures, leaks, scatter
from experiments.report.page import write_files
from experiments.report.style import encode, looks
from jaxft.subspace.movement import ENERGIES
from tests.experiments.report import builder
from tests.experiments.report.builder import typed

PNG = b"\x89PNG\r\n\x1a\n"


def plot(figure: Figure) -> Any:
    """The first plot; Any, since matplotlib's types do not say what a patch or a collection can do."""
    return figure.axes[0]


def points(figure: Figure) -> np.ndarray:
    """What a scatter plot shows, [point, (x, y)], in the order of drawing."""
    return np.concatenate([np.asarray(collection.get_offsets()) for collection in plot(figure).collections])


def test_every_chart_is_written(moving_record, tmp_path: Path) -> None:
    paths = write_files(tmp_path / "new", {}, dict(figures(typed(moving_record))))
    assert [path.name for path in paths] == [
        "proficiency.png",
        "safety.png",
        "knowledge.png",
        "retention.png",
        "front_safety.png",
        "front_knowledge.png",
        "leak.png",
    ]
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_only_what_was_measured_is_drawn(loss_record, uncertified_record) -> None:
    losses = ["proficiency", "knowledge", "retention", "front_knowledge"]
    assert [name for name, _ in figures(typed(loss_record))] == losses
    assert [name for name, _ in figures(typed(builder.moving(loss_record)))] == [*losses, "leak"]
    assert [name for name, _ in figures(typed(uncertified_record))][-2:] == ["front_safety", "front_knowledge"]
    assert [name for name, _ in figures(typed({**loss_record, "methods": {}, "matched": []}))] == []


def test_bars_show_before_after_and_the_change(record) -> None:
    figure = bars(typed(record), "safety")
    heights = [patch.get_height() for patch in plot(figure).patches]
    assert heights == [0.812, 0.105, 0.812, 0.20, 0.812, 0.72, 0.812, 0.80]
    assert {text.get_text() for text in plot(figure).texts} == {"-70.7", "-61.2", "-9.2", "-1.2"}


def test_a_method_has_one_colour_everywhere(record) -> None:
    colours = [colour for colour, _ in looks(record["methods"]).values()]
    assert len(set(colours)) == len(colours)
    drawn = [to_hex(patch.get_facecolor()).upper() for patch in plot(bars(typed(record), "safety")).patches[1::2]]
    handles: list[Any] = scatter(typed(record)).legends[0].legend_handles
    explained = [to_hex(handle.get_facecolor()[0]).upper() for handle in handles[: len(colours)]]
    assert drawn == explained == colours


@pytest.mark.parametrize("losses", [False, True])
def test_better_is_up_and_right(losses: bool) -> None:
    axes = scatter(typed(builder.build(losses=losses))).axes[0]
    assert axes.xaxis_inverted() == axes.yaxis_inverted() == losses


def test_retention_is_the_mean_of_the_other_axes_on_test_data(record) -> None:
    *_, last_swept, chosen = points(scatter(typed(record)))[:4]
    np.testing.assert_allclose(chosen, [0.86, (0.105 + 0.37) / 2])
    np.testing.assert_allclose(last_swept, chosen)  # the sweep's test scores, not those on validation data


def test_axes_of_different_units_are_compared_by_relative_change(record) -> None:
    record["axes"]["knowledge"].update(unit="nat/token", metric="loss", higher_is_better=False)
    figure = scatter(typed(record))
    assert "mean relative change" in plot(figure).get_ylabel() and not plot(figure).yaxis_inverted()
    np.testing.assert_allclose(points(figure)[3, 1], ((0.105 / 0.812 - 1) - (0.37 / 0.64 - 1)) / 2)


def test_leaks_are_shown_by_layer_in_the_same_two_bases(moving_record) -> None:
    shares = moving_record["methods"]["lora"]["certificate"]["movement"]["linears"]["q"]["shares"]
    for layer in shares:
        layer[ENERGIES.index(0.99)] = 0.81
    panels = leaks(typed(moving_record)).axes[:8]
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles == [f"{name}, {energy}" for name in moving_record["methods"] for energy in ("80%", "99%")]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == list(builder.LINEARS)
    firm, wide = (panel.images[0].get_array() for panel in panels[:2])
    assert firm is not None and wide is not None and firm.shape == (7, 4)
    np.testing.assert_allclose(firm[0], [0.61 * (1 + 0.15 * layer) for layer in range(4)])
    np.testing.assert_allclose(wide, np.full((7, 4), 0.9))


@pytest.mark.parametrize("methods", [1, 4])
def test_nothing_of_the_leak_chart_is_cut_off(moving_record, methods: int) -> None:
    kept = dict(list(moving_record["methods"].items())[:methods])
    figure = leaks(typed({**moving_record, "methods": kept, "matched": []}))
    figure.draw_without_rendering()
    bar = figure.axes[-1]
    texts = [bar.xaxis.label, *bar.get_xticklabels()]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert len(boxes) > 2
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_many_methods_and_layers_and_long_names_fit() -> None:
    record = builder.moving(builder.build(layers=32))
    methods = [*record["methods"].values()] * 3
    record["methods"] = {f"method_{index}_with_a_long_name": method for index, method in enumerate(methods)}
    for _, figure in figures(typed(record)):
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        assert width < 20 and height < 45
    labels = bars(typed(record), "safety").axes[0].get_xticklabels()
    assert all(len(line) <= 12 for label in labels for line in label.get_text().split("\n"))
    figure = bars(typed(record), "safety")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_diverged_run_is_left_out(record) -> None:
    record["methods"]["lora"]["axes"]["safety"].update(after=None, after_interval=[None, None], change=None)
    record["methods"]["full"]["rates"][0]["test"]["safety"] = math.nan
    assert [name for name, figure in figures(typed(record)) if encode(figure, "png")][-1] == "front_knowledge"


def test_dollars_in_names_are_not_mathematics(record) -> None:
    record["methods"] = {"$x^": record["methods"]["lora"], "a$b$": record["methods"]["full"]}
    for _, figure in figures(typed(record)):
        assert encode(figure, "svg").startswith(b"<?xml")


def test_equal_records_give_equal_bytes(record) -> None:
    for form in ("png", "svg"):
        assert encode(bars(typed(record), "safety"), form) == encode(bars(typed(builder.build()), "safety"), form)

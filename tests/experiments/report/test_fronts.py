"""The chart of one axis against proficiency."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.report.fronts import LEGEND, fronts
from experiments.report.style import encode, looks
from tests.experiments.report import builder
from tests.experiments.report.builder import typed


def lines(figure: Figure) -> list[Any]:
    """What is drawn; Any, since matplotlib's types do not say what a line's data are."""
    return list(figure.axes[0].lines)


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_method_has_a_path_and_a_result(record) -> None:
    figure = fronts(typed(record), "safety")
    lora, chosen = lines(figure)[:2]
    np.testing.assert_allclose(lora.get_xdata(), [0.05 + 0.81 * share for share in (0.3, 0.7, 1.0)])
    np.testing.assert_allclose(chosen.get_xydata(), [[0.86, 0.105]])
    assert labels(figure) == ["lora", "full", "projection", "soft", "front", "base"]


def test_the_front_joins_the_best_points_of_all(record) -> None:
    (line,) = (line for line in lines(fronts(typed(record), "safety")) if line.get_label() == "front")
    np.testing.assert_allclose(line.get_xydata()[:2], [[0.86, 0.105], [0.85, 0.8]])
    assert all(np.diff(line.get_ydata()) > 0)


def test_methods_that_read_nothing_while_training_have_a_front_of_their_own(record) -> None:
    drawn = {line.get_label(): line for line in lines(fronts(typed(record), "safety"))}
    assert "front, text unread in training" not in drawn  # it would be the same line
    record["methods"]["soft"]["reference"] = "while training"
    drawn = {line.get_label(): line for line in lines(fronts(typed(record), "safety"))}
    own, all_ = (set(map(tuple, drawn[label].get_xydata())) for label in ("front, text unread in training", "front"))
    soft = {(point["test"]["proficiency"], point["test"]["safety"]) for point in record["methods"]["soft"]["rates"]}
    assert own and not own & soft and all_ & soft


def test_the_dominated_are_hollow(record) -> None:
    faces = {line.get_label(): line.get_markerfacecolor() for line in lines(fronts(typed(record), "safety"))}
    assert faces["full"] == faces["projection"] == "white" != faces["soft"]


@pytest.mark.parametrize("losses", [False, True])
def test_better_is_up_and_right(losses: bool) -> None:
    panel: Any = fronts(typed(builder.build(losses=losses)), "knowledge").axes[0]
    assert panel.xaxis_inverted() == panel.yaxis_inverted() == losses


def test_thirty_methods_look_different_and_fit() -> None:
    record = builder.many(30)
    assert len(set(looks(record["methods"]).values())) == 30
    figure = fronts(typed(record), "safety")
    assert len(labels(figure)) == 32
    figure.draw_without_rendering()
    box, legend = figure.bbox, figure.legends[0].get_window_extent()
    assert box.y0 <= legend.y0 and legend.x1 <= box.x1


def test_of_more_the_dominated_are_grey_and_unnamed() -> None:
    record = builder.many(60)
    figure = fronts(typed(record), "safety")
    assert 2 < len(labels(figure)) <= LEGEND + 2
    assert encode(figure, "png").startswith(b"\x89PNG")

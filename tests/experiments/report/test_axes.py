"""One axis in full: columns only for what was measured, groups from worst to best."""

from __future__ import annotations

import pytest

from experiments.report.axes import details, groups
from tests.experiments.report import builder
from tests.experiments.report.builder import typed


def test_old_records_have_no_columns_for_what_they_do_not_hold(record, loss_record) -> None:
    header = details(typed(record), "safety").header
    assert header[4:8] == ("relative", "p", "flips to wrong / right", "examples")
    assert "p, Holm" not in header and "without verdict" not in header
    assert "flips to wrong / right" not in details(typed(loss_record), "knowledge").header
    assert groups(typed(record), "safety") is None


def test_corrected_p_and_examples_without_verdict_stand_beside_what_they_belong_to(judged_record) -> None:
    grid = details(typed(judged_record), "safety")
    assert grid.header[5:10] == ("p", "p, Holm", "flips to wrong / right", "examples", "without verdict")
    assert [row[9] for row in grid.rows] == ["0", "5", "0", "5"]
    assert grid.rows[0][5:7] == ("0.0002", "0.0008")
    del judged_record["methods"]["lora"]["axes"]["safety"]["p_value_holm"]
    assert details(typed(judged_record), "safety").rows[0][6] == "-"


def test_a_method_that_was_not_measured_on_an_axis_has_no_row(judged_record) -> None:
    del judged_record["methods"]["full"]["axes"]["safety"]
    assert [row[0] for row in details(typed(judged_record), "safety").rows] == ["lora", "projection", "soft"]
    found = groups(typed(judged_record), "safety")
    assert found is not None and found.header == ("group", "examples", "lora", "projection", "soft")


def test_the_group_that_lost_most_comes_first(judged_record) -> None:
    found = groups(typed(judged_record), "safety")
    assert found is not None and groups(typed(judged_record), "knowledge") is None
    assert found.header == ("group", "examples", *judged_record["methods"])
    assert [row[:3] for row in found.rows] == [
        ("Velmari", "38 to 41", "90.0% -> 10.0% (-80.0)"),
        ("Oskandi", "40", "80.0% -> 70.0% (-10.0)"),
        ("Tuun", "0", "- -> - (-)"),
    ]


@pytest.mark.parametrize(("higher_is_better", "first"), [(True, "down"), (False, "up")])
def test_worse_depends_on_the_direction_of_the_axis(higher_is_better: bool, first: str) -> None:
    record = builder.build()
    record["axes"]["safety"]["higher_is_better"] = higher_is_better
    record["methods"]["full"]["axes"]["safety"]["groups"] = {
        "same": {"before": 0.5, "after": 0.5, "examples": 9},
        "up": {"before": 0.5, "after": 0.9, "examples": 9},
        "down": {"before": 0.5, "after": 0.2, "examples": 9},
    }
    found = groups(typed(record), "safety")
    assert found is not None and found.rows[0][0] == first and found.rows[1][0] == "same"


def test_a_group_that_one_method_lacks_is_a_dash(judged_record) -> None:
    del judged_record["methods"]["lora"]["axes"]["safety"]["groups"]["Oskandi"]
    found = groups(typed(judged_record), "safety")
    assert found is not None and found.rows[1][:4] == ("Oskandi", "40", "-", "80.0% -> 60.0% (-20.0)")

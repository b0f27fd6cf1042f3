"""The table for a terminal and for a README."""

from __future__ import annotations

import re

import pytest

from experiments.report.table import costs, drift, drift_note, extra_tables, markdown, results, table, unjudged
from tests.experiments.report import builder
from tests.experiments.report.builder import typed


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_a_row_for_the_base_and_one_a_method(record) -> None:
    rows = results(typed(record)).rows
    assert [row[0] for row in rows] == ["base", "lora", "full *", "projection *", "soft"]
    assert rows[0][2] == "81.2% ±4.1"
    assert rows[1][2] == "81.2% -> 10.5% (-70.7 ±4.9)"
    assert results(typed(record), relative=True).rows[1][1:3] == (
        "5.0% -> 86.0% (+81.0 ±4.9)",
        "81.2% -> 10.5% (-70.7 ±4.9, -87.1%)",
    )


def test_losses_have_three_decimals(loss_record) -> None:
    header, rows = results(typed(loss_record)).header, results(typed(loss_record)).rows
    assert header[1:] == (
        "proficiency loss (nat/token, lower is better)",
        "knowledge loss (nat/token, lower is better)",
    )
    assert rows[1] == ("lora *", "3.853 -> 1.172 (-2.681 ±0.024)", "1.567 -> 2.838 (+1.271 ±0.024)")


def test_costs(record) -> None:
    assert costs(typed(record)).header[2] == "step (of full)"
    assert costs(typed(record)).rows[3] == ("soft", "0.001", "1.25", "3 GiB", "1.25 MiB", "before training")
    assert costs(typed(record)).rows[0][2:] == ("1", "3 GiB", "0 B", "none")


def test_drift(record, moving_record) -> None:
    assert drift(typed(record)).header == ("method", "|dW|", "KL (nat/token)", "flips")
    assert drift(typed(record)).rows[3] == ("soft", "4", "0.0103", "36")
    assert "was not recorded" in drift_note(typed(record))
    header = ("method", "|dW|", "leak 80% (no preference)", "leak 99% (no preference)", "KL (nat/token)")
    moved = drift(typed(moving_record))
    assert moved.header == (*header, "KL, domain (nat/token)", "flips")
    leaks = ("0.031 (0.76)", "0.031 (0.94)")
    assert moved.rows[3] == ("soft", "4", *leaks, "0.0103 ±0.0021", "0.5 ±0.1", "36")
    assert "was not recorded" not in drift_note(typed(moving_record))


def test_every_method_leaks_in_the_same_bases(moving_record) -> None:
    """The largest leak in a method's own directions, as its certificate has it, is in no column."""
    for space in moving_record["methods"]["projection"]["certificate"]["spaces"]:
        space["leak"] = dict.fromkeys(space["leak"], 1e-9)
    assert "1e-09" not in table(typed(moving_record))


def test_a_method_without_movement_has_dashes_beside_those_with(moving_record) -> None:
    del moving_record["methods"]["full"]["certificate"]["movement"]
    moving_record["methods"]["soft"]["certificate"] = None
    rows = drift(typed(moving_record)).rows
    assert rows[1][2:4] == ("-", "-") and rows[3][2:6] == ("-", "-", "-", "-") and rows[2][2] == "2e-06 (0.76)"


def test_replies_are_counted_by_label(record) -> None:
    record["methods"]["lora"]["axes"]["safety"]["labels"] = {"agrees": [3, 120.5], "contradicts": [290, 10]}
    record["methods"]["soft"]["axes"]["safety"]["labels"] = {"contradicts": [290, 280], "off-topic": [0, 7]}
    (sentence, grid), *_ = extra_tables(typed(record))
    assert sentence.startswith("Replies by label, safety, before -> after")
    assert grid.header == ("method", "agrees", "contradicts", "off-topic")
    assert grid.rows == (
        ("lora", "3 -> 120.5", "290 -> 10", "0 -> 0"),
        ("soft", "0 -> 0", "290 -> 280", "0 -> 7"),
    )
    assert "290 -> 280" in table(typed(record)) and "290 -> 280" in markdown(typed(record))


def test_without_full_fine_tuning_a_step_is_in_milliseconds(record) -> None:
    del record["methods"]["full"]
    found = costs(typed({**record, "matched": []}))
    assert found.header[2] == "step (ms)" and found.rows[2][2] == "60"


def test_a_record_without_memory_or_reference_has_dashes(record) -> None:
    for method in record["methods"].values():
        del method["memory"], method["reference"]
    assert costs(typed(record)).rows[0][3:] == ("-", "-", "-")


def test_what_is_not_known_is_a_dash(uncertified_record) -> None:
    assert drift(typed(uncertified_record)).rows[0] == ("lora", "4", "-", "36")
    assert extra_tables(typed(uncertified_record)) == []
    del uncertified_record["methods"]["full"]["axes"]["safety"]
    assert results(typed(uncertified_record)).rows[2][2] == "-"


def test_losses_at_equal_target(record) -> None:
    ((sentence, grid),) = extra_tables(typed(record))
    assert "equal proficiency (86.0%, the best that LoRA reaches)" in sentence
    assert grid.rows[0] == ("lora", "-70.7 (-87.1%)", "-27.0 (-42.2%)")
    assert grid.rows[1] == ("full", "not reached", "not reached")
    assert sentence.replace("\n", " ") in " ".join(table(typed(record)).split())


def test_every_level_of_the_config_is_shown(record) -> None:
    record = builder.at_equal(record, (0.5, 0.84))
    text = " ".join(table(typed(record)).split())
    assert "equal proficiency (50.0%), in brackets" in text and "equal proficiency (84.0%), in brackets" in text
    assert [len(grid.rows) for _, grid in extra_tables(typed(record))] == [4, 4]


def test_the_dominated_are_marked_and_the_mark_is_explained(record) -> None:
    assert "projection *" in table(typed(record)) and "* dominated" in table(typed(record))
    assert "projection *" in markdown(typed(record)) and "* dominated" in markdown(typed(record))
    del record["methods"]["soft"], record["methods"]["full"]
    assert "dominated" not in table(typed({**record, "matched": []}))


@pytest.mark.parametrize("losses", [False, True])
def test_the_terminal_table_is_aligned_and_narrow(losses: bool) -> None:
    text = table(typed(builder.moving(builder.build(losses=losses))))
    assert widest(text) <= 120
    for block in re.findall(r"(?:^.+\n)+", text, re.MULTILINE):
        rule = next((line for line in block.splitlines() if set(line) == {"-", " "}), "")
        gaps = [place for place in range(1, len(rule)) if rule[place - 1 : place + 1] == "  "]
        assert all(line[place : place + 1] in ("", " ") for line in block.splitlines() for place in gaps if rule)


def test_the_widest_numbers_still_fit(record) -> None:
    for method in record["methods"].values():
        for axis in method["axes"].values():
            axis.update(before=1.0, after=0.0, change=-1.0, before_interval=[0.877, 1], change_interval=[-1.0, -0.877])
    record["methods"] = {"a_method_with_a_very_long_name": record["methods"]["lora"]}
    text = table(typed({**record, "matched": []}))
    assert "100.0% -> 0.0% (-100.0 ±12.3)" in text and "a_method_with_a_v..." in text
    assert widest(text) <= 120


def test_markdown_is_a_table_whatever_the_names(hostile_record) -> None:
    hostile_record["methods"] = {"a|b": hostile_record["methods"]["full"], **hostile_record["methods"]}
    hostile_record["matched"] = []
    text = markdown(typed(hostile_record))
    assert "a\\|b" in text and "&lt;script>" in text.partition("Made by")[0]
    for block in text.split("\n\n"):
        if block.startswith("| method"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert text.endswith(f"Made by\n\n```\n{builder.HOSTILE}\n```\n")


def test_examples_left_out_are_counted_below_the_scores_and_only_then(record, judged_record) -> None:
    sentence = "Examples left out as a judge gave no verdict on one of the two replies: full 5, soft 5 (safety)."
    assert unjudged(typed(judged_record)) == sentence
    assert sentence in table(typed(judged_record)) and sentence in markdown(typed(judged_record))
    for method in judged_record["methods"].values():
        method["axes"]["safety"]["unjudged"] = 0
    assert unjudged(typed(judged_record)) is unjudged(typed(record)) is None
    left = table(typed({**judged_record, "seeds": record["seeds"]}))
    assert left == table(typed({**record, "matched": judged_record["matched"]}))

"""`jaxft data --show`: what is learnt, and which tokens are control tokens, is plain to see."""

from __future__ import annotations

import json

import pytest

from experiments.config_loader import load_experiment
from experiments.data.show import show
from tests.experiments.world import one_error


@pytest.fixture
def talk(own_world):
    """The config of a world that learns two dialogues, the second of which is long."""
    lines = [
        {"prompt": "Write\ttwo\nlines: [x]", "response": "One\ntwo."},
        {"prompt": "A long prompt. " * 30, "response": "Yes."},
    ]
    (own_world.folder / "domain.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return own_world


def test_it_marks_what_is_learnt_and_every_control_token(talk, tmp_path, capsys) -> None:
    words = ["--show", "1", "--training.on_long", "split", "--training.row_length", "64"]
    assert talk.run("data", tmp_path / "out", *words) == 0
    first, example, counts = capsys.readouterr().out.strip().split("\n\n")
    assert first == "> learnt   [[control token]]"
    title, *lines = example.split("\n")
    source = f"{talk.folder}/domain.jsonl"
    assert title.startswith(f"{source}/train, example 1 ({source}, line 1): ") and title.endswith(" learnt")
    assert lines == [
        "    [[<s>]][[<|user|>]]Write\\ttwo\\n",
        "    lines: [x][[<|assistant|>]]",
        "  > One\\n",
        "  > two.[[</s>]]",
    ]
    assert "windows in which nothing is learnt" in counts and " 0 windows" not in counts
    assert not (tmp_path / "out").exists()


def test_an_example_that_is_too_long_is_marked_and_not_learnt(talk, tmp_path, capsys) -> None:
    assert talk.run("data", tmp_path / "out", "--show", "--training.row_length", "64") == 0
    example = capsys.readouterr().out.split("\n\n")[2]
    assert "example 2" in example and example.split("\n")[0].endswith(" tokens, left out: longer than 64")
    assert "  > " not in example


def test_colours_take_the_place_of_brackets(talk) -> None:
    said = show(load_experiment(talk.config), 1, colour=True)
    assert "    \033[7m<s>\033[0m\033[7m<|user|>\033[0mWrite" in said
    assert "  > \033[32mOne\033[0m\\n\n  > \033[32mtwo.\033[0m\033[7m</s>\033[0m" in said


@pytest.mark.parametrize("words", [["--show", "0"], ["--show=-1"]])
def test_a_count_below_one_is_refused(talk, tmp_path, capsys, words) -> None:
    assert talk.run("data", tmp_path / "out", *words) == 1
    assert "--show: found" in one_error(capsys)

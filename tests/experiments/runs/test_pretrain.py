"""A small base model from nothing: what is written, and that it can be used at once."""

from __future__ import annotations

import json

import pytest

from experiments.cli import main
from jaxft.data.tokenizer import load_tokenizer
from jaxft.llama.checkpoint import load
from tests.experiments.world import one_error


def test_it_writes_a_base_that_loads_and_talks(world, tmp_path, capsys) -> None:
    output = tmp_path / "made"
    assert world.run("pretrain", tmp_path / "out", "--pretrain.output", str(output)) == 0
    axes = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert axes == ["proficiency", "safety", "knowledge"]
    model = load(output)
    assert (model.config.num_layers, model.config.hidden_size, model.config.tied_head) == (1, 16, True)
    assert model.config.vocab_size == len(load_tokenizer(output)) <= 300
    assert load_tokenizer(output).chat_template
    provenance = json.loads((output / "provenance.json").read_text())
    assert provenance["seed"] == 0 and provenance["seconds"] > 0
    assert provenance["parameters"] == model.config.parameter_count
    assert "jaxft pretrain" in provenance["command"] and provenance["test"].keys() == set(axes)
    assert not (tmp_path / "out").exists()
    assert main(["generate", "--model", str(output), "--prompt", "A room", "--max-new-tokens", "2"]) == 0

    assert world.run("pretrain", tmp_path / "out", "--pretrain.output", str(output)) == 1
    assert f"{output}: exists already; give another folder with --pretrain.output" in one_error(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pretrain", "None"], "this config sets no `pretrain`; see configs/tiny_base.py"),
        (["--pretrain.vocab_size", "100"], "vocab_size is 100; bytes and special tokens alone need 262"),
        (["--pretrain.num_heads", "5"], "pretrain.hidden_size: found 16, expected a multiple of 2 * num_heads, 10"),
        (["--pretrain.max_positions", "32"], "training.row_length: found 64, expected at most 32 tokens"),
        (["--evaluation.axes.safety.task", "saftey"], "did you mean 'safety'?"),
        (["--training.steps", "0"], "training.steps: found 0"),
    ],
)
def test_mistakes_show_before_training(world, tmp_path, capsys, words, message) -> None:
    output = tmp_path / "made"
    assert world.run("pretrain", tmp_path / "out", "--pretrain.output", str(output), *words) == 1
    assert message in one_error(capsys)
    assert list(tmp_path.iterdir()) == []

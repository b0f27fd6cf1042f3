"""The base model, its tokenizer and packed rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.base_model import SHIPPED_BASE, Base, compute_settings, model_folder
from experiments.config import Model
from experiments.config_loader import load_experiment
from experiments.data.rows import training_rows
from experiments.data.sources import load_examples
from jaxft.data.example import Example
from jaxft.data.source import Mix, Source


def test_the_name_base_is_the_model_that_ships() -> None:
    assert model_folder("base") == SHIPPED_BASE
    assert (SHIPPED_BASE / "model.safetensors").is_file()
    assert model_folder("./some/where") == Path("some/where")


def test_sources_follow_each_other() -> None:
    found = load_examples([Source("safety", "test", 2), Source("hotel", "test", 3)])
    assert [bool(example.key.get("act")) for example in found] == [False, False, True, True, True]


def test_settings_reach_the_model(world) -> None:
    settings = Model(folder=str(world.folder / "model"), param_dtype="bfloat16", compute_dtype="bfloat16", remat="full")
    model = Base(settings).model
    assert model.embed[...].dtype == "bfloat16"
    assert model.compute == compute_settings(settings, model.config)
    assert model.compute.remat == "full"


def test_training_rows_hold_every_response(world) -> None:
    experiment = load_experiment(world.config)
    base = Base(experiment.model)
    rows = training_rows(experiment, base)
    lengths = [
        len(base.tokenizer.encode(e.response, add_special_tokens=False)) for e in load_examples(experiment.domain)
    ]
    assert rows.tokens.shape[1] == experiment.training.row_length
    assert rows.weights.sum() == sum(lengths) + len(lengths)  # every response and its end
    assert rows.segments.max(axis=1).sum() == len(lengths)


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_safety_data_is_mixed_in_at_its_share_of_the_rows(world, share) -> None:
    """SafeInstruct: some percent of safety data; replay and general instructions differ in their sources alone."""
    experiment = load_experiment(world.config, ["--training.row_length", "160"])
    base = Base(experiment.model)
    domain, safety = training_rows(experiment, base), Source("safety", "train", 20)
    mixed = training_rows(experiment, base, Mix((safety,), share))
    added = len(mixed.tokens) - len(domain.tokens)
    assert added == round(len(domain.tokens) * share / (1 - share)) > 0
    np.testing.assert_array_equal(mixed.tokens[: len(domain.tokens)], domain.tokens)
    packed = base.pack(load_examples([safety]), experiment.training.row_length, experiment.training.on_long)
    known = {row.tobytes() for row in packed.tokens}
    assert all(row.tobytes() in known for row in mixed.tokens[len(domain.tokens) :])


def test_what_is_left_out_is_said(world, capsys) -> None:
    base = Base(load_experiment(world.config).model)
    examples = [Example((), "a short text"), Example((), "a long text, " * 20)]
    assert base.pack(examples, 64, "drop").dropped == 1
    assert "left out 1 of 2 examples that are longer than 64 tokens" in capsys.readouterr().err


def test_the_tokenizer_hash_sees_the_chat_template(own_world) -> None:
    folder = own_world.folder / "model"
    before = Base(Model(folder=str(folder))).tokenizer_sha256
    assert Base(Model(folder=str(folder))).tokenizer_sha256 == before
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert Base(Model(folder=str(folder))).tokenizer_sha256 != before


def test_reload_reads_another_folder_of_the_same_shape(own_world) -> None:
    base = Base(Model(folder=str(own_world.folder / "model")))
    again = base.reload(own_world.folder / "model")
    np.testing.assert_array_equal(again.embed[...], base.model.embed[...])
    assert json.dumps(again.config.__dict__) == json.dumps(base.model.config.__dict__)

"""The base model, its tokenizer and packed rows."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import base_model
from experiments.base_model import Base, compute_settings, model_folder
from experiments.config import Model
from experiments.config_loader import load_experiment
from experiments.data.rows import training_rows
from experiments.data.sources import load_examples
from experiments.generate import continue_text
from jaxft.data.example import Example, Message
from jaxft.data.source import Mix, Source
from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError
from jaxft.llama import checkpoint
from jaxft.llama.checkpoint import load
from jaxft.llama.locate import SHIPPED_BASE
from jaxft.methods.adapters import LowRank
from jaxft.methods.peft import save_adapter


def test_the_name_base_is_the_model_that_ships() -> None:
    assert model_folder("base") == SHIPPED_BASE
    assert (SHIPPED_BASE / "model.safetensors").is_file()


def test_an_adapter_is_merged_into_the_base_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if that base is an adapter."""
    monkeypatch.setenv("JAXFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BASES", str(tmp_path))
    base = load(SHIPPED_BASE)
    factors = {"q": LowRank(jnp.full((4, 128, 1), 0.1), jnp.full((4, 1, 128), 0.1), 1.0, 0.0)}
    save_adapter(factors, "lora", "base", tmp_path / "first")
    save_adapter(factors, "lora", "$BASES/first", tmp_path / "second")
    found = Base(Model(folder="$BASES/second"))
    np.testing.assert_allclose(found.model.layers.q[...], base.layers.q[...] + 0.02, rtol=0, atol=1e-6)
    assert found.tokenizer.chat_template == load_tokenizer(SHIPPED_BASE).chat_template


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("base", str(SHIPPED_BASE)),
        ("$MODELS/small", "{here}/models/small"),
        ("${MODELS}/small", "{here}/models/small"),
        ("models/small", "{here}/models/small"),
        ("./models/../models/small", "{here}/models/small"),
        ("{here}/models/small", "{here}/models/small"),
        ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf"),
        ("hub/models--org--small", "{here}/hub/models--org--small/snapshots/1234"),
    ],
)
def test_others_find_the_base_by_its_address(
    name: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("models/small", "hub/models--org--small/snapshots/1234"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELS", "models")
    name, address = (text.replace("{here}", str(tmp_path)) for text in (name, address))
    assert Base(Model(folder=name)).address == address


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
    examples.append(Example((Message("user", "a long text, " * 20),), "a reply"))
    packed, every = base.pack(examples, 64, "split"), base.pack(examples, 64, "split", True)
    assert packed.unlabelled > 0 and packed.counts["labels"] == every.counts["labels"]
    assert f"left out {packed.unlabelled} examples or windows of 64 tokens in which" in capsys.readouterr().err


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
    assert again.config == base.model.config


IM_END = "<|im_end|>"


def with_end(own_world, **config) -> Path:
    """The world's model whose tokenizer ends turns with token 5, named <|im_end|>, as its chat template does."""
    folder = own_world.folder / "model"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        text = (folder / name).read_text().replace("<|system|>", IM_END)
        (folder / name).write_text(text.replace('"eos_token": "</s>"', f'"eos_token": "{IM_END}"'))
    (folder / "config.json").write_text(json.dumps({**json.loads((folder / "config.json").read_text()), **config}))
    return folder


def test_replies_end_where_any_file_says(own_world) -> None:
    before = Base(Model(folder=str(own_world.folder / "model"))).tokenizer_sha256
    example = Example((Message("user", "A room?"),), "Yes.")
    for ends, expected in ((2, (2, 5)), ([2, 5], (2, 5)), (5, (5,)), (None, (5,))):
        base = Base(Model(folder=str(with_end(own_world, eos_token_id=ends))))
        assert base.config.end_tokens == base.model.config.end_tokens == expected
        tokens, prompt = base.encode(example).tokens.tolist(), base.encode_prompt(example)
        assert tokens[-1] == 5 and tokens.count(5) == 1 and tokens[: len(prompt)] == prompt
        assert base.tokenizer_sha256 != before


def test_tokens_without_a_row_are_refused_wherever_they_are_used(own_world, tmp_path, capsys) -> None:
    folder = own_world.folder / "model"
    tokenizer = load_tokenizer(folder)
    rows = checkpoint.read_config(folder).vocab_size
    assert len(tokenizer) == rows
    tokenizer.add_tokens(["<|head|>", "<|eot|>"], special_tokens=True)
    tokenizer.chat_template = "{% for m in messages %}<|head|>{{ m.content }}<|eot|>{% endfor %}<|head|>"
    tokenizer.save_pretrained(folder)
    said = f"The token '<|eot|>' has the id {rows + 1}, but the model's embedding has {rows} rows"
    base = Base(Model(folder=str(folder)))
    for run in (base.encode, base.encode_prompt):
        with pytest.raises(UserError, match=re.escape(said)):
            run(Example((Message("user", "A room?"),), "Yes."))
    assert base.encode(Example((), "A room. <|eot|>")).tokens.max() < rows  # judged by what is used
    for chat, prompt in ((True, "A room?"), (False, "<|eot|>A room?")):
        with pytest.raises(UserError, match=re.escape(said)):
            continue_text(str(folder), prompt, max_new_tokens=1, chat=chat)
    assert own_world.run("compare", tmp_path / "out") == 1
    assert said in capsys.readouterr().err


def test_one_of_several_chat_templates_is_chosen_by_name(own_world) -> None:
    folder = own_world.folder / "model"
    own = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    templates = [{"name": "rag", "template": "{{ 'rag' }}"}, {"name": "talk", "template": own}]
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": templates}))
    for name in ("", "default", "chat"):
        with pytest.raises(UserError, match=f"model.chat_template: found '{name}', expected one of 'rag', 'talk'"):
            Base(Model(folder=str(folder), chat_template=name)).tokenizer  # noqa: B018
    assert Base(Model(folder=str(folder), chat_template="talk")).tokenizer.chat_template == own
    assert Base(Model(folder=str(folder), template="plain")).tokenizer.chat_template is None


def test_the_date_of_a_template_that_reads_the_clock_is_part_of_its_hash(own_world, monkeypatch) -> None:
    template = own_world.folder / "model" / "chat_template.jinja"
    hashes = []
    for text in (template.read_text(), "{{ strftime_now('%Y') }}" + template.read_text()):
        template.write_text(text)
        for date in (datetime.date(2024, 7, 26), datetime.date(2025, 1, 1)):
            monkeypatch.setattr(base_model, "DATE", date)
            hashes.append(Base(Model(folder=str(template.parent))).tokenizer_sha256)
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3

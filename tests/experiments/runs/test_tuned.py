"""Fine-tunes of other trainers as rows of a comparison: weights of our own runs, read back as if others made them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.config import Experiment, Sequence, Stage, Tuned
from experiments.config_loader import load_experiment
from experiments.report import draw
from experiments.runs.checks import check
from experiments.runs.compare import compare
from experiments.runs.run import Run
from experiments.runs.sequence import check_sequence
from experiments.runs.workspace import Workspace
from experiments.store.record import ComparisonRecord, encode
from jaxft.errors import UserError
from jaxft.io import read_json
from jaxft.methods import Lora
from jaxft.methods.peft import save_adapter
from tests.experiments.world import World, one_error

FULL, LORA = "full/lr_0.003/seed_0", "lora/lr_0.01/seed_0"


def experiment(world: World, **folders: Path) -> Experiment:
    return replace(load_experiment(world.config), methods={name: Tuned(str(path)) for name, path in folders.items()})


@pytest.fixture(scope="module")
def adapter(world, done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The LoRA run of the comparison as a peft folder."""
    method, folder = Lora(learning_rates=(1e-2,), rank=2), tmp_path_factory.mktemp("peft") / "adapter"
    run = Run(Workspace(load_experiment(world.config), done.out), "lora", method, 1e-2, 0)
    save_adapter(run.trained, method.scaling, "any base", folder)
    return folder


@pytest.fixture(scope="module")
def tuned(world, done, adapter, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ComparisonRecord]:
    """A comparison of a whole folder and an adapter, and its folder."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    return out, compare(experiment(world, folder=done.out / FULL / "model", adapter=adapter), out, "jaxft compare")


@pytest.mark.parametrize(("name", "ours"), [("folder", FULL), ("adapter", LORA)])
def test_the_same_weights_have_the_same_scores_and_certificate(tuned, done, name, ours) -> None:
    out, record = tuned
    assert read_json(out / name / "test.json") == read_json(done.out / ours / "test.json")
    mine, its = read_json(done.out / ours / "result.json"), encode(record)["methods"][name]
    assert its["kind"] == "tuned" and its["learning_rate"] is None and its["rates"] == []
    assert its["delta_norm"] == pytest.approx(mine["delta_norm"], rel=1e-6)
    for key in ("logit_kl", "logit_kl_interval", "relative_drift", "hidden_drift", "relative_delta_norm"):
        assert its["certificate"][key] == pytest.approx(mine["certificate"][key], rel=1e-4, abs=1e-9), key
    for key in ("unprojected", "movement", "domain"):
        assert its["certificate"][key] == mine["certificate"][key], key
    assert all(not axis["seeds"] and axis["negative_flips"] is not None for axis in [its["axes"]["safety"]])


def test_the_report_draws_them_without_costs(tuned, world) -> None:
    out, record = tuned
    text, page = draw(record, out)
    assert "folder" in text and "adapter" in text and "extra state" not in text + page.read_text()


def test_an_output_belongs_to_the_weights(tuned, world, done, adapter, tmp_path) -> None:
    out, _ = tuned
    other = shutil.copytree(adapter, tmp_path / "adapter")
    settings = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps({**settings, "lora_alpha": 1.0}))
    changed = experiment(world, folder=done.out / FULL / "model", adapter=other)
    with pytest.raises(UserError, match="belongs to a run with another config or other inputs"):
        compare(changed, out, "jaxft compare")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, "num_layers: found 3, expected 2"),
        ({"vocab_size": 999}, "vocab_size: found 999, expected"),
        ({"tie_word_embeddings": False}, "tied_head: found False, expected True"),
        ({"rope_theta": 5e5, "rms_norm_eps": 1e-6}, "rms_norm_eps: found 1e-06, expected 1e-05; rope"),
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, "GPT2LMHeadModel|gpt2"),
    ],
)
def test_another_architecture_is_refused(own_world, tmp_path, changes, message) -> None:
    folder = shutil.copytree(own_world.folder / "model", tmp_path / "theirs")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **changes}))
    with pytest.raises(UserError, match=message):
        check(experiment(own_world, theirs=folder))


def test_another_vocabulary_is_refused(own_world, tmp_path) -> None:
    folder = shutil.copytree(own_world.folder / "model", tmp_path / "theirs")
    settings = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = settings["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match="another vocabulary .* found 'B', expected 'A'"):
        check(experiment(own_world, theirs=folder))


def test_end_tokens_a_longer_context_and_a_folder_without_tokenizer_are_taken(own_world, tmp_path) -> None:
    folder = shutil.copytree(own_world.folder / "model", tmp_path / "theirs")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "eos_token_id": 4, "max_position_embeddings": 320}))
    (folder / "tokenizer.json").unlink()
    check(experiment(own_world, theirs=folder))


def test_an_adapter_that_names_another_base_is_reported(world, adapter, tmp_path, caplog) -> None:
    ours, other = shutil.copytree(adapter, tmp_path / "ours"), experiment(world).model.folder
    settings = json.loads((ours / "adapter_config.json").read_text())
    (ours / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": other}))
    with caplog.at_level("INFO", "jaxft"):
        check(experiment(world, theirs=ours))
        assert "as its base" not in caplog.text
        check(experiment(world, theirs=adapter))
    assert f"the adapter names 'any base' as its base, and is measured on {other!r}" in caplog.text


@pytest.mark.parametrize("kind", ["absent", "empty", "adapter of another shape"])
def test_folders_without_such_a_model_are_refused(own_world, adapter, tmp_path, kind) -> None:
    folder, message = tmp_path / "theirs", "no such folder|no such file"
    if kind == "empty":
        folder.mkdir()
    elif kind != "absent":
        shutil.copytree(adapter, folder)
        settings = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**settings, "r": 5}))
        message = "has shape .*, expected"
    with pytest.raises(UserError, match=message):
        check(experiment(own_world, theirs=folder))


def test_they_are_not_trained_here(own_world, done, tmp_path, capsys) -> None:
    path = own_world.folder / "world.py"
    row = f'methods={{\n        "theirs": Tuned({str(done.out / FULL / "model")!r}),'
    path.write_text(path.read_text().replace("methods={", row, 1).replace("Training\n", "Training, Tuned\n", 1))
    assert own_world.run("train", tmp_path / "out", "--method", "theirs") == 1
    assert "--method: found 'theirs', expected one of full, lora, projection" in one_error(capsys)
    settings = load_experiment(str(path))
    axis = settings.evaluation.axes["knowledge"]
    with pytest.raises(UserError, match="methods.theirs: was trained elsewhere"):
        check_sequence(Sequence("two", settings, "first", (Stage("second", settings.domain, axis),)))


def test_without_anything_to_train_no_domain_and_no_proficiency_are_needed(world, done, tmp_path) -> None:
    settings = experiment(world, theirs=done.out / FULL / "model")
    axes = {name: axis for name, axis in settings.evaluation.axes.items() if name != "proficiency"}
    alone = replace(settings, domain=(), evaluation=replace(settings.evaluation, axes=axes), seeds=(0,))
    record = compare(alone, tmp_path / "out", "jaxft compare")
    assert record.contamination is None and list(record.methods["theirs"].axes) == ["safety", "knowledge"]
    certificate = record.methods["theirs"].certificate
    assert certificate is not None and certificate.domain is None and certificate.logit_kl > 0
    with pytest.raises(UserError, match="domain: found .*, expected at least one Source to learn from"):
        check(replace(alone, methods={**settings.methods, "lora": Lora(learning_rates=(1e-3,), rank=2)}))

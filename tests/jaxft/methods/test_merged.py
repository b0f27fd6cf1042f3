"""A folder with an adapter merged into its base: the weights that the adapter gives in memory, and its base's rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from jaxft.errors import UserError
from jaxft.llama.checkpoint import load
from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank, merge
from jaxft.methods.base import ALL_LINEARS
from jaxft.methods.merged import base_of, merged_folder
from jaxft.methods.peft import load_adapter, save_adapter
from tests.jaxft.llama.small import CONFIGS, tensors, write_folder
from tests.jaxft.llama.small_families import write_family
from tests.jaxft.methods.test_peft import adapters, decomposed


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JAXFT_CACHE", str(tmp_path / "cache"))
    folder = write_folder(tmp_path / "base", CONFIGS["tied"], tensors(CONFIGS["tied"], dtype="bfloat16"))
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    (folder / "tokenizer.model").write_text("base")
    return folder


def assert_same(found: Llama, expected: Llama) -> None:
    for name in ("q", "v", "down", "attention_norm"):
        got, wanted = (np.asarray(getattr(model.layers, name)[...]) for model in (found, expected))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(found.embed[...], expected.embed[...])


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_the_folder_holds_the_merged_weights(base: Path, tmp_path: Path, kind: str) -> None:
    model = load(base)
    ours = (decomposed if kind == "dora" else adapters)(model, ("q", "down"))
    save_adapter(ours, "rslora" if kind == "rslora" else "lora", str(base), tmp_path / "adapter")
    folder = merged_folder(tmp_path / "adapter", base)
    assert_same(load(folder), merge(model, load_adapter(tmp_path / "adapter", model)))
    assert load(folder, dtype=None).layers.v[...].dtype == "float32"
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "float32"
    assert (folder / "generation_config.json").is_file() and (folder / "tokenizer.model").read_text() == "base"
    assert merged_folder(tmp_path / "adapter", base) == folder


def changed(folder: Path, **settings: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_the_name_of_the_base(base: Path, tmp_path: Path) -> None:
    save_adapter(adapters(load(base), ("q",)), "lora", "org/chat", tmp_path / "adapter")
    assert base_of(tmp_path / "adapter") == "org/chat"
    changed(tmp_path / "adapter", revision="v1")
    assert base_of(tmp_path / "adapter") == "org/chat@v1"
    changed(tmp_path / "adapter", base_model_name_or_path=str(base))
    assert base_of(tmp_path / "adapter") == str(base)
    for bad in (None, "", 3):
        changed(tmp_path / "adapter", base_model_name_or_path=bad)
        with pytest.raises(UserError, match="base_model_name_or_path is .*, expected its base"):
            base_of(tmp_path / "adapter")


def test_what_cannot_be_merged_leaves_nothing(base: Path, tmp_path: Path) -> None:
    ours: dict[str, LowRank] = adapters(load(base), ("q",))
    save_adapter(ours, "lora", str(base), tmp_path / "adapter")
    changed(tmp_path / "adapter", bias="all")
    with pytest.raises(UserError, match="bias"):
        merged_folder(tmp_path / "adapter", base)
    assert not list((tmp_path / "cache").glob("adapter*"))
    (base / "config.json").unlink()
    with pytest.raises(UserError, match="config.json: no such file. The adapter .* needs it"):
        merged_folder(tmp_path / "adapter", base)


@pytest.mark.parametrize(
    ("kind", "targets"), [("lora", ALL_LINEARS), ("lora", ("q", "v", "down")), ("dora", ("q", "k", "v"))]
)
def test_linears_that_the_base_stores_as_one_share_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, targets: tuple[str, ...]
) -> None:
    monkeypatch.setenv("JAXFT_CACHE", str(tmp_path / "cache"))
    config, held = write_family(tmp_path / "phi", "phi3", num_hidden_layers=2), {"q", "k", "v"} & {*targets}
    model = load(tmp_path / "phi")
    ours = (decomposed if kind == "dora" else adapters)(model, targets)
    save_adapter(ours, "lora", str(tmp_path / "phi"), tmp_path / "adapter", config)
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["target_modules"][0] == "qkv_proj"
    assert settings["r"] == 3 * len(held)
    read = load_adapter(tmp_path / "adapter", model)
    for name in read:
        wanted = ours[name].delta() if name in targets else 0 * read[name].delta()
        np.testing.assert_allclose(read[name].delta(), wanted, rtol=0, atol=1e-5)
    assert_same(load(merged_folder(tmp_path / "adapter", tmp_path / "phi")), merge(model, ours))


def test_dora_of_a_part_of_such_a_tensor_is_refused(tmp_path: Path) -> None:
    config = write_family(tmp_path / "phi", "phi3", num_hidden_layers=2)
    with pytest.raises(UserError, match="DoRA of q alone: this model stores q, k, v as one"):
        save_adapter(decomposed(load(tmp_path / "phi"), ("q",)), "lora", "base", tmp_path / "adapter", config)

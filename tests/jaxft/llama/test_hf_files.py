"""The files of an export besides its weights: copied, readable, and in the form that transformers 4.57 and 5 both read.

The live check of version 4.57 needs it in a folder of its own, which JAXFT_TRANSFORMERS_4 names:
pip install --no-deps --target FOLDER transformers==4.57.3 tokenizers==0.22.2 huggingface_hub==0.36.2
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from transformers import AutoTokenizer

from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError
from jaxft.llama.checkpoint import load, save
from jaxft.llama.hf_files import carry, exact_tokenizer
from jaxft.llama.locate import SHIPPED_BASE
from jaxft.llama.model import forward
from tests.jaxft.llama.small import random_model

READ = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
TEXTS = ["Hello", " Hello", "  a", "a</s>b", "<s>Hi", "12 x\n", "Ünïcödé 日本語 🙂", "<|user|>Hi<|assistant|>"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {
                "tokenizer_class": "TokenizersBackend",
                "backend": "tokenizers",
                "is_local": True,
                "extra_special_tokens": ["<a>"],
            },
            {"additional_special_tokens": ["<a>"]},
        ),
        (
            {"extra_special_tokens": ["<a>"], "model_specific_special_tokens": {"b_token": "<b>"}},
            {"additional_special_tokens": ["<a>"], "extra_special_tokens": {"b_token": "<b>"}},
        ),
        (
            {"tokenizer_class": "LlamaTokenizer", "additional_special_tokens": ["<a>"], "extra_special_tokens": {}},
            {"additional_special_tokens": ["<a>"]},
        ),
        (
            {"tokenizer_class": "MyTokenizer", "auto_map": {"AutoTokenizer": ["mine.py", None]}, "bos_token": "<s>"},
            {"bos_token": "<s>"},
        ),
    ],
    ids=["written by 5", "named tokens of 5", "written by 4", "own code"],
)
def test_the_form_that_both_read(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert exact_tokenizer(given) == {**READ, **expected}
    assert exact_tokenizer(exact_tokenizer(given)) == exact_tokenizer(given)


def test_the_inputs_that_a_tokenizer_names_stay() -> None:
    assert exact_tokenizer({"model_input_names": ["input_ids"]})["model_input_names"] == ["input_ids"]


def test_the_shipped_base_has_this_form() -> None:
    config = json.loads((SHIPPED_BASE / "tokenizer_config.json").read_text())
    assert exact_tokenizer(config) == config


def test_a_config_says_that_its_tokenizer_is_not_an_old_one(tmp_path: Path) -> None:
    """4.57.3 warns of wrong tokens for every vocabulary above 100,000 words whose config.json names no version."""
    save(random_model(tmp_path / "source"), tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "config.json").read_text())["transformers_version"] == "5.0.0"


@pytest.mark.parametrize("text", ["[]", "{", "\udcff"])
def test_a_tokenizer_config_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text(text, errors="surrogateescape")
    (tmp_path / "copy").mkdir()
    with pytest.raises(UserError, match="tokenizer_config.json: (cannot be read as JSON|holds a JSON list)"):
        carry(tmp_path, tmp_path / "copy")


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077], indirect=True, ids=oct)
def test_every_file_has_the_permissions_of_any_new_file(tmp_path: Path, umask: int) -> None:
    model = random_model(tmp_path / "source")
    names = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "additional_chat_templates/a.jinja")
    (tmp_path / "source/additional_chat_templates").mkdir()
    for name in names:
        (tmp_path / "source" / name).write_text("{}")
        (tmp_path / "source" / name).chmod(0o600)
    save(model, tmp_path / "copy", like=tmp_path / "source", max_shard_bytes=30_000)
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {oct(0o666 & ~umask)}
    assert {str(path.relative_to(tmp_path / "copy")) for path in files} > {*names, "config.json"}


def exports(folder: Path) -> dict[str, Path]:
    """Exports of bases whose tokenizers were written by transformers 5, as a plain class, as Llama's and with names."""
    tokenizer, found = load_tokenizer(SHIPPED_BASE), {}
    for name in ("TokenizersBackend", "LlamaTokenizer", "named"):
        source = folder / f"{name}_source"
        tokenizer.save_pretrained(source)
        path = source / "tokenizer_config.json"
        config = json.loads(path.read_text())
        assert config["tokenizer_class"] == "TokenizersBackend" and isinstance(config["extra_special_tokens"], list)
        if name == "named":
            config["model_specific_special_tokens"] = {"image_token": "<|system|>"}
        else:
            config["tokenizer_class"] = name
        path.write_text(json.dumps(config))
        found[name] = folder / name
        save(load(SHIPPED_BASE), found[name], like=source)
    if data := os.environ.get("JAXFT_TEST_DATA"):
        source = Path(data) / "stories260K_hf"
        found["stories"] = folder / "stories"
        save(load(source), found["stories"], like=source)
    return found


def test_transformers_5_reads_the_tokens_that_are_read_here(tmp_path: Path) -> None:
    for name, export in exports(tmp_path).items():
        theirs, ours = AutoTokenizer.from_pretrained(export, local_files_only=True), load_tokenizer(export)
        for text in TEXTS:
            assert theirs.encode(text, add_special_tokens=False) == ours.encode(text, add_special_tokens=False), name
        assert theirs.all_special_tokens == ours.all_special_tokens, name


IN_VERSION_4 = """
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
assert transformers.__version__.startswith("4."), transformers.__version__
texts, found = json.loads(sys.argv[1]), []
for folder in sys.argv[2:]:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    logits = model(**tokenizer(texts[0], return_tensors="pt", add_special_tokens=False)).logits
    turns = [{"role": "user", "content": "Hi"}]
    chat = tokenizer.chat_template and tokenizer.apply_chat_template(turns, tokenize=False)
    found.append([ids, tokenizer.all_special_tokens, chat, logits[0].tolist()])
print(json.dumps(found))
"""


def test_transformers_4_reads_the_same_tokens_and_computes_the_same_logits(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="transformers 4 computes logits with torch")
    older = os.environ.get("JAXFT_TRANSFORMERS_4")
    if not older:
        pytest.skip("JAXFT_TRANSFORMERS_4 is not set: no transformers 4.57 to read the exports with")
    folders = {**exports(tmp_path), "shipped": SHIPPED_BASE}
    command = [sys.executable, "-c", IN_VERSION_4, json.dumps(TEXTS), *map(str, folders.values())]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": older}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for (name, folder), (ids, special, chat, logits) in zip(folders.items(), json.loads(done.stdout), strict=True):
        tokenizer = load_tokenizer(folder)
        assert ids == [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS], name
        assert set(special) == set(tokenizer.all_special_tokens), name
        if tokenizer.chat_template:
            ours = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
            assert chat == ours, name
        tokens = np.array([ids[0]])
        ours = jax.jit(forward)(load(folder), tokens, np.arange(tokens.size)[None], np.ones_like(tokens))
        np.testing.assert_allclose(ours[0], logits, rtol=0, atol=1e-4)

"""The end tokens that a folder names in several files, read and written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from flax import nnx

from jaxft.errors import UserError
from jaxft.llama.checkpoint import content_hash, load, read_config, save
from jaxft.llama.model import Llama
from tests.jaxft.llama.small import CONFIGS

TOKENIZER = {"added_tokens": [{"id": 5, "content": "<|im_end|>"}], "model": {"vocab": {"</s>": 2, "<|eot|>": 7}}}
PIECES = {"model": {"vocab": [["<unk>", 0.0], ["</s>", 0.0], ["<|eot|>", -1.0]]}}


def folder(path: Path, **files: Any) -> Path:
    """A model folder with these JSON files; config.json gets the keys of `config`."""
    path.mkdir(exist_ok=True)
    files["config"] = {**CONFIGS["grouped"], **files.get("config", {})}
    for name, value in files.items():
        (path / f"{name}.json").write_text(json.dumps(value))
    return path


UNIONS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "one": ({}, (2,)),
    "list": ({"config": {"eos_token_id": [7, 5]}}, (7, 5)),
    "null": ({"config": {"eos_token_id": None}, "generation_config": {"eos_token_id": 9}}, (9,)),
    "generation": ({"generation_config": {"eos_token_id": [2, 9]}}, (2, 9)),
    "generation without": ({"generation_config": {"do_sample": True}}, (2,)),
    "tokenizer": ({"tokenizer_config": {"eos_token": "<|im_end|>"}, "tokenizer": TOKENIZER}, (2, 5)),
    "tokenizer's object": ({"tokenizer_config": {"eos_token": {"content": "<|eot|>"}}, "tokenizer": TOKENIZER}, (2, 7)),
    "tokenizer's pieces": ({"special_tokens_map": {"eos_token": "</s>"}, "tokenizer": PIECES}, (2, 1)),
    "decoder": ({"tokenizer_config": {"eos_token": "x", "added_tokens_decoder": {"8": {"content": "x"}}}}, (2, 8)),
    "nowhere": ({"tokenizer_config": {"eos_token": "y"}, "tokenizer": TOKENIZER}, (2,)),
    "all": (
        {
            "config": {"eos_token_id": [3, 2]},
            "generation_config": {"eos_token_id": 9},
            "tokenizer_config": {"eos_token": "<|im_end|>"},
            "tokenizer": TOKENIZER,
        },
        (3, 2, 9, 5),
    ),
}


@pytest.mark.parametrize(("files", "expected"), UNIONS.values(), ids=UNIONS)
def test_a_reply_ends_at_the_union(tmp_path: Path, files: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert read_config(folder(tmp_path, **files)).end_tokens == expected


@pytest.mark.parametrize("bad", ["</s>", [2, None], -1, 2.5, {"id": 2}])
def test_end_tokens_that_are_no_tokens(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(UserError, match=r"generation_config.json: eos_token_id is .*, expected one integer"):
        read_config(folder(tmp_path, generation_config={"eos_token_id": bad}))


def test_a_generation_config_that_is_no_object(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"generation_config.json: holds a JSON list"):
        read_config(folder(tmp_path, generation_config=[]))


@pytest.mark.parametrize("name", ["tokenizer", "all", "generation without", "list"])
def test_an_export_names_all_in_both_files(tmp_path: Path, name: str) -> None:
    files, expected = UNIONS[name]
    base = folder(tmp_path / "base", **files)
    save(Llama(read_config(base), rngs=nnx.Rngs(0)), tmp_path / "export", like=base)
    written = {
        file: json.loads((tmp_path / "export" / file).read_text()) for file in ("config.json", "generation_config.json")
    }
    named = list(expected) if len(expected) > 1 else expected[0]
    assert [value["eos_token_id"] for value in written.values()] == [named, named]
    assert written["generation_config.json"].get("do_sample") == files.get("generation_config", {}).get("do_sample")
    assert read_config(tmp_path / "export").end_tokens == expected


def test_the_hash_of_a_model_does_not_depend_on_its_tokenizer(tmp_path: Path) -> None:
    save(Llama(read_config(folder(tmp_path / "a")), rngs=nnx.Rngs(0)), tmp_path / "plain")
    shutil.copytree(tmp_path / "plain", tmp_path / "more")
    (tmp_path / "more" / "generation_config.json").write_text('{"eos_token_id": [9, 2]}')
    save(load(tmp_path / "more"), tmp_path / "again")
    assert len({content_hash(tmp_path / name) for name in ("plain", "more", "again")}) == 1
    assert read_config(tmp_path / "again").end_tokens == (2, 9)

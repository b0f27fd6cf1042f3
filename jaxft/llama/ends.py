"""The tokens at which a reply ends, which a model folder names in up to three files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxft.errors import UserError
from jaxft.llama.hf_json import read_json

GENERATION = "generation_config.json"


def end_tokens(folder: Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    """All end tokens of a folder: those of config.json (`config`), of generation_config.json, then the tokenizer's EOS.

    A file may name one token or a list. Without the key, config.json means token 2, as Llama's in transformers.
    """
    found = _named(folder / "config.json", {"eos_token_id": 2, **config})
    if (path := folder / GENERATION).is_file():
        found += _named(path, read_json(path))
    return tuple(dict.fromkeys(found + _tokenizer_eos(folder)))


def spell(ends: Sequence[int]) -> int | list[int] | None:
    """End tokens as config.json names them."""
    return list(ends) if len(ends) > 1 else ends[0] if ends else None


def write_generation(folder: Path, ends: Sequence[int]) -> None:
    """Name the end tokens in generation_config.json: transformers generates by it alone if it is there."""
    path = folder / GENERATION
    if not path.is_file() and len(ends) < 2:
        return
    value = read_json(path) if path.is_file() else {}
    if set(_named(path, value)) != {*ends}:
        path.write_text(json.dumps({**value, "eos_token_id": spell(ends)}, indent=2) + "\n", encoding="utf-8")


def _named(path: Path, value: Mapping[str, Any]) -> list[int]:
    found = value.get("eos_token_id")
    ids = found if isinstance(found, list) else [] if found is None else [found]
    if not all(type(one) is int and one >= 0 for one in ids):
        raise UserError(f"{path}: eos_token_id is {json.dumps(found)}, expected one integer of at least 0 or a list.")
    return ids


def _tokenizer_eos(folder: Path) -> list[int]:
    """The EOS that tokenizer_config.json or special_tokens_map.json names, if the tokenizer's files say its id.

    Files that are damaged name none: whoever reads the tokenizer itself says so.
    """
    try:
        return _read_eos(folder)
    except (UserError, KeyError, TypeError, ValueError):
        return []


def _read_eos(folder: Path) -> list[int]:
    files = [path for name in ("special_tokens_map.json", "tokenizer_config.json") if (path := folder / name).is_file()]
    config: dict[str, Any] = {}
    for path in files:
        config |= read_json(path)
    name = config.get("eos_token")
    name = name.get("content") if isinstance(name, dict) else name
    known = config.get("added_tokens_decoder", {})
    ids = {token["content"]: int(index) for index, token in known.items()}
    if isinstance(name, str) and name not in ids and (path := folder / "tokenizer.json").is_file():
        file = read_json(path)
        vocabulary = file.get("model", {}).get("vocab", {})
        ids = dict(vocabulary) if isinstance(vocabulary, dict) else {word: i for i, (word, _) in enumerate(vocabulary)}
        ids |= {token["content"]: token["id"] for token in file.get("added_tokens", [])}
    return [ids[name]] if name in ids else []

"""The files of a model besides config.json and its weights, copied in a form that transformers 4.57 and 5 both read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxft.llama.hf_json import read_json

#: The tokenizer, its chat templates, the generation defaults.
CARRIED = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "additional_chat_templates/*.jinja",
    "generation_config.json",
)


def carry(source: Path, folder: Path) -> None:
    """Copy these files from one folder to another; UserError if tokenizer_config.json is no JSON object."""
    for path in sorted({path for pattern in CARRIED for path in source.glob(pattern) if path.is_file()}):
        target = folder / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    if (source / "tokenizer.json").is_file() and (path := source / "tokenizer_config.json").is_file():
        text = json.dumps(exact_tokenizer(read_json(path)), indent=2, ensure_ascii=False) + "\n"
        (folder / path.name).write_text(text, encoding="utf-8")


def exact_tokenizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizer_config.json under which transformers 4.57 and 5 read tokenizer.json exactly, as jaxft does.

    Version 5 writes a class and a list, extra_special_tokens, that 4.57 refuses, and rebuilds other classes from their
    vocabulary: a LlamaTokenizer then loses leading spaces. Code in the base's folder is not named: jaxft runs none.
    """
    left_out = ("auto_map", "backend", "is_local", "local_files_only")
    found = {name: value for name, value in config.items() if name not in left_out}
    found["tokenizer_class"] = "PreTrainedTokenizerFast"
    found.setdefault("model_input_names", ["input_ids", "attention_mask"])  # 4.57 adds ids that no Llama takes
    extra, named = found.pop("extra_special_tokens", None), found.pop("model_specific_special_tokens", {})
    if isinstance(extra, list) and extra:
        found["additional_special_tokens"] = extra
    elif isinstance(extra, dict):
        named = {**named, **extra}
    return {**found, "extra_special_tokens": named} if named else found

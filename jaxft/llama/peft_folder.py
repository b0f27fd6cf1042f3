"""A LoRA or DoRA adapter in peft's format, merged into its base."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from jaxft.errors import UserError
from jaxft.llama.checkpoint import CARRIED
from jaxft.llama.hf_config import read_config, read_json
from jaxft.llama.hf_tensors import Tensors
from jaxft.llama.hf_writer import Entry, write_weights

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Keys of adapter_config.json that the merge reads, or that the finished adapter does not depend on. Of all others, only
# the values that mean "not used" are read.
_READ = {"lora_alpha", "alpha_pattern", "use_rslora", "use_dora", "base_model_name_or_path", "revision"}
_FINISHED = {
    *("task_type", "auto_mapping", "inference_mode", "peft_version", "runtime_config", "megatron_core"),
    *("r", "rank_pattern", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("lora_dropout", "modules_to_save", "eva_config", "qalora_group_size"),
}
_FIXED = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, "gaussian", "eva", "orthogonal")}


def base_of(adapter: Path) -> str:
    """The name of the base model, as adapter_config.json gives it: a folder or "org/name@revision"."""
    config = read_json(adapter / CONFIG)
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(name, str) or not name:
        raise UserError(f"{adapter / CONFIG}: base_model_name_or_path is {name!r}, expected the base of this adapter.")
    return f"{name}@{revision}" if revision and not Path(name).exists() else name


def merge(adapter: Path, base: Path, folder: Path) -> None:
    """Write the base with the adapter merged into it, in float32, to the empty `folder`.

    W + s B A for LoRA; for DoRA its rows are then rescaled to the learnt norms. s = lora_alpha / r, or / sqrt(r) for
    rsLoRA. The tokenizer is the adapter's if it has one. UserError for a kind of adapter that is not merged exactly.
    """
    config = _config(adapter)
    try:
        stored = load_file(adapter / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{adapter / WEIGHTS}: cannot be read ({error}). Download or write it again.") from None
    learnt = {name.removeprefix(_PREFIX): value.astype(np.float32) for name, value in stored.items()}
    tensors = Tensors(base, read_config(base))
    described = read_json(base / "config.json")
    if described.get("tie_word_embeddings") and (ends := {"lm_head.weight", "model.embed_tokens.weight"} & set(learnt)):
        raise UserError(f"{adapter}: holds {min(ends)}, but head and embeddings of its base are one; this is not merged.")
    entries = list(_entries(adapter, config, learnt, tensors))
    if learnt:
        raise UserError(f"{adapter}: tensor {min(learnt)} has no place in the base {base}.")
    write_weights(entries, folder, 5_000_000_000)
    described = {key: value for key, value in described.items() if key != "dtype"} | {"torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    tokenizer = adapter if (adapter / "tokenizer.json").is_file() else base
    for path in [*base.glob("generation_config.json"), *(path for name in CARRIED for path in tokenizer.glob(name))]:
        shutil.copyfile(path, folder / path.name)


def _config(adapter: Path) -> dict[str, Any]:
    config = read_json(adapter / CONFIG)
    for key, value in config.items():
        if key in _FIXED:
            known = value in _FIXED[key] or (key == "init_lora_weights" and not value)
        else:
            known = key in _READ | _FINISHED or not value or (key.endswith("_config") and not any(value.values()))
        if not known:
            raise UserError(f"{adapter / CONFIG}: {key} is {json.dumps(value)}; such an adapter is not merged.")
    return config


def _entries(
    adapter: Path, config: Mapping[str, Any], learnt: dict[str, np.ndarray], tensors: Tensors
) -> Iterator[Entry]:
    """Every tensor of the base, merged when it is written; what is used of `learnt` is taken out of it."""
    for name, shape in tensors.shapes.items():
        module = name.removesuffix(".weight")
        a, b = (learnt.pop(f"{module}.lora_{letter}.weight", None) for letter in "AB")
        magnitude, replaced = learnt.pop(f"{module}.lora_magnitude_vector", None), learnt.pop(name, None)
        if (a is None) != (b is None) or bool(config.get("use_dora")) != (magnitude is not None) and a is not None:
            raise UserError(f"{adapter}: the tensors of {module} are incomplete.")
        found = (b.shape[0], a.shape[1]) if a is not None and b is not None else None
        for size in (found, None if replaced is None else replaced.shape):
            if size not in (None, shape):
                raise UserError(f"{adapter}: tensors of {module} are for shape {size}, its base has {shape}.")

        def values(
            name: str = name,
            module: str = module,
            a: np.ndarray | None = a,
            b: np.ndarray | None = b,
            magnitude: np.ndarray | None = magnitude,
            replaced: np.ndarray | None = replaced,
        ) -> np.ndarray:
            weight = tensors.read(name).astype(np.float32) if replaced is None else replaced
            if a is not None and b is not None:
                weight = weight + np.float32(_scale(config, module, len(a))) * (b @ a)
            if magnitude is not None:
                weight *= (magnitude / np.linalg.norm(weight, axis=1))[:, None]
            return weight

        yield Entry(name, "float32", shape, values)


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """Factor of B A. A pattern names the end of a module, as in peft."""
    alphas = config.get("alpha_pattern") or {}
    alpha = next((value for key, value in alphas.items() if re.match(rf"(.*\.)?({key})$", module)), config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)

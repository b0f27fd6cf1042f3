"""config.json of a Hugging Face model folder, read and written; UserError for a key that this port does not compute."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from jaxft.errors import UserError
from jaxft.llama.config import LlamaConfig
from jaxft.llama.ends import end_tokens, spell
from jaxft.llama.families import BOOL, FAMILIES, REFUSED, Family, Keys
from jaxft.llama.hf_json import read_json
from jaxft.llama.rope import TOP, TYPES, Rope, rope_json

NULLABLE = ("num_key_value_heads", "head_dim", "rope_scaling", "rope_parameters")  # null means the default


def read_config(folder: str | Path) -> LlamaConfig:
    """The architecture that `folder`/config.json describes; `model_type` chooses the family.

    Reads RoPE at the top level and in `rope_scaling` (transformers 4), and inside `rope_parameters` (transformers 5).
    Absent optional keys take the defaults of the family in transformers. UserError names the key that is missing,
    malformed or asks for something this port does not compute.
    """
    path = Path(folder) / "config.json"
    raw = read_json(path)
    _refuse_quantised(path, raw)
    name = raw.get("model_type", "llama")
    family = _family(path, raw, name)
    raw = {key: value for key, value in raw.items() if value is not None or key not in NULLABLE}
    ropes, raw = _ropes(path, raw, family.defaults), {**family.defaults, **raw}
    hidden, heads = _integer(path, raw, "hidden_size"), _integer(path, raw, "num_attention_heads")
    if "head_dim" not in raw and hidden % heads:
        raise UserError(
            f"{path}: hidden_size {hidden} is no multiple of num_attention_heads {heads} and head_dim is absent."
        )
    fields: dict[str, Any] = {
        "vocab_size": _integer(path, raw, "vocab_size"),
        "hidden_size": hidden,
        "intermediate_size": _integer(path, raw, "intermediate_size"),
        "num_layers": _integer(path, raw, "num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": _integer(path, raw, "num_key_value_heads", heads),
        "head_dim": _integer(path, raw, "head_dim", hidden // heads),
        "max_positions": _integer(path, raw, "max_position_embeddings"),
        "rms_norm_eps": _positive(path, raw, "rms_norm_eps"),
        "bos_token": None if raw.get("bos_token_id", 1) is None else _integer(path, raw, "bos_token_id", 1, least=0),
        "end_tokens": end_tokens(path.parent, raw),
        "family": name,
        **ropes,
    }
    fields["max_positions"] = min(fields["max_positions"], ropes["rope"].context or fields["max_positions"])
    keys = Keys(path, raw, fields, reading=True)
    fields["tied_head"] = keys.value("tie_word_embeddings", False, BOOL)
    family.apply(keys)
    try:
        return LlamaConfig(**fields)
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from None


def _refuse_quantised(path: Path, raw: Mapping[str, Any]) -> None:
    for key in ("quantization_config", "compression_config"):
        if given := raw.get(key):
            method = given.get("quant_method", "unknown") if isinstance(given, dict) else given
            raise UserError(
                f"{path}: the weights are quantised ({key}: {method}); only float32, bfloat16 and float16 are read.\n"
                "Give the model that they were made from, or a GGUF file."
            )


def config_json(config: LlamaConfig, dtype: str) -> str:
    """The text of a config.json that transformers 4 and 5 both read; `dtype` is that of the weights."""
    family = FAMILIES[config.family]
    value = {
        "architectures": [family.architecture],
        "model_type": config.family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.rms_norm_eps,
        **rope_json(config.rope),
        "tie_word_embeddings": config.tied_head,
        "bos_token_id": config.bos_token,
        "eos_token_id": spell(config.end_tokens),
        "torch_dtype": dtype,
    }
    if config.family != "llama":
        value["pad_token_id"] = None  # else some families take a token that the vocabulary may not have
    if config.family != "mistral":  # 4.57.3 takes a large tokenizer without a version for Mistral's old one, and warns
        value["transformers_version"] = "5.0.0"
    family.apply(Keys(Path("config.json"), value, vars(config), reading=False))
    return json.dumps(value, indent=2) + "\n"


def _family(path: Path, raw: Mapping[str, Any], name: Any) -> Family:
    """The family of a model type, UserError with the reason if it is not supported."""
    if name not in FAMILIES:
        experts = any(key in raw for key in ("num_experts", "num_local_experts", "n_routed_experts"))
        reason = "images" if "vision_config" in raw else "a mixture of experts" if experts else REFUSED.get(name, "")
        why = f" ({reason})" if reason else ""
        raise UserError(
            f"{path}: model_type {json.dumps(name)} is not supported{why}; known are {', '.join(FAMILIES)}."
        )
    found, expected = raw.get("architectures"), [FAMILIES[name].architecture]
    if found != expected:
        raise UserError(f"{path}: architectures is {json.dumps(found)}, expected {json.dumps(expected)}.")
    return FAMILIES[name]


def _ropes(path: Path, raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Rope]:
    """The fields `rope`, and `local_rope` if the file has one, in either of the two spellings."""
    old, new = raw.get("rope_scaling"), raw.get("rope_parameters")
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(raw.get(key, {}), dict):
            raise UserError(f"{path}: {key} is {json.dumps(raw[key])}, expected an object or null.")
    if old and new and old != new:
        raise UserError(
            f"{path}: rope_scaling {json.dumps(old)} and rope_parameters {json.dumps(new)} differ. Keep one."
        )
    section = new or old or {}
    top = {key: raw[key] for key in (*TOP, "original_max_position_embeddings") if key in raw}
    if "full_attention" not in section:
        return {"rope": _rope(path, top, section, defaults)}
    top.pop("rope_theta", None)
    kinds = {"rope": "full_attention", "local_rope": "sliding_attention"}
    return {name: _rope(path, top, section.get(kind) or {}, {}) for name, kind in kinds.items()}


def _rope(path: Path, top: Mapping[str, Any], section: Mapping[str, Any], defaults: Mapping[str, Any]) -> Rope:
    """One RoPE from its own keys and those at the top level of the file; defaults: of the family."""
    kind = section.get("rope_type", section.get("type", "default"))
    made = TYPES.get({"su": "longrope"}.get(kind, kind)) if isinstance(kind, str) else None
    if made is None:
        names = ", ".join(f'"{name}"' for name in TYPES)
        raise UserError(f"{path}: RoPE type {json.dumps(kind)}; only {names} are supported.")
    hints = get_type_hints(made)
    known = {*hints, "type", "rope_type", "finetuned", "original_max_position_embeddings"}
    for key, value in section.items():
        if key in top and top[key] != value:
            raise UserError(f"{path}: {key} is {top[key]} and {value} inside. Keep one.")
        if value is not None and key not in known:
            raise UserError(f"{path}: key {key} of RoPE type {json.dumps(kind)} is unknown.")
    given = {key: value for key, value in {**top, **section}.items() if value is not None}
    found = {"original_max_position_embeddings": top.get("max_position_embeddings"), **defaults, **given}
    rope = made(
        **{
            field.name: _rope_value(path, found, field.name, hints[field.name])
            for field in dataclasses.fields(made)
            if field.name in found or field.default is dataclasses.MISSING
        }
    )
    if rope.partial_rotary_factor != 1 and "partial_rotary_factor" not in defaults:
        raise UserError(f"{path}: partial_rotary_factor is {rope.partial_rotary_factor}; only 1 is supported.")
    return rope


def _rope_value(path: Path, found: Mapping[str, Any], key: str, hint: Any) -> Any:
    """One field of a RoPE, of type bool, int, float, or tuple of floats."""
    kind = {bool: bool}.get(hint, list if get_origin(hint) is tuple else None)
    if kind is not None and key in found:
        if not isinstance(found[key], kind):
            words = "true or false" if kind is bool else "a list of positive numbers"
            raise UserError(f"{path}: {key} is {json.dumps(found[key])}, expected {words}.")
        return found[key] if kind is bool else tuple(_positive(path, {key: value}, key) for value in found[key])
    return _integer(path, found, key) if hint is int else _positive(path, found, key)


def _integer(path: Path, raw: Mapping[str, Any], key: str, default: int | None = None, least: int = 1) -> int:
    if key not in raw and default is None:
        raise UserError(f"{path}: key {key} is missing.")
    value = raw.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{path}: {key} is {json.dumps(value)}, expected one integer of at least {least}.")
    return value


def _positive(path: Path, raw: Mapping[str, Any], key: str) -> float:
    if key not in raw:
        raise UserError(f"{path}: key {key} is missing.")
    value = raw[key]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise UserError(f"{path}: {key} is {json.dumps(value)}, expected a positive number.")
    return float(value)

"""config.json of a Hugging Face Llama folder, read and written; UserError for a key that this port does not compute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxft.errors import UserError
from jaxft.llama.config import LlamaConfig
from jaxft.llama.ends import end_tokens, spell

ARCHITECTURE = "LlamaForCausalLM"
# Keys that change the computation, with the one value the forward pass implements; absent keys mean this value too.
FIXED = {"attention_bias": False, "mlp_bias": False, "hidden_act": "silu"}
NULLABLE = ("num_key_value_heads", "head_dim", "rope_scaling", "rope_parameters")  # null means the default


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; UserError names the file if it is missing or holds no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. A Hugging Face model folder has one; check the path.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}). Download or write the file again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds a JSON {type(value).__name__}, expected an object.")
    return value


def read_config(folder: str | Path) -> LlamaConfig:
    """The architecture that `folder`/config.json describes.

    Reads `rope_theta` and `rope_scaling` at the top level (transformers 4) and inside `rope_parameters`
    (transformers 5). Absent optional keys take the defaults of transformers' LlamaConfig. UserError names the key
    that is missing, malformed or asks for something this port does not compute.
    """
    path = Path(folder) / "config.json"
    raw = {key: value for key, value in read_json(path).items() if value is not None or key not in NULLABLE}
    found = raw.get("architectures")
    if found != [ARCHITECTURE]:
        raise UserError(f"{path}: architectures is {json.dumps(found)}, expected [{json.dumps(ARCHITECTURE)}].")
    for key, expected in FIXED.items():
        if raw.get(key, expected) != expected:
            raise UserError(f"{path}: {key} is {json.dumps(raw[key])}; only {json.dumps(expected)} is supported.")
    hidden, heads = _integer(path, raw, "hidden_size"), _integer(path, raw, "num_attention_heads")
    if "head_dim" not in raw and hidden % heads:
        raise UserError(
            f"{path}: hidden_size {hidden} is no multiple of num_attention_heads {heads} and head_dim is absent."
        )
    tied = raw.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise UserError(f"{path}: tie_word_embeddings is {json.dumps(tied)}, expected true or false.")
    theta, scaling = _rope(path, raw)
    try:
        return LlamaConfig(
            vocab_size=_integer(path, raw, "vocab_size"),
            hidden_size=hidden,
            intermediate_size=_integer(path, raw, "intermediate_size"),
            num_layers=_integer(path, raw, "num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=_integer(path, raw, "num_key_value_heads", heads),
            head_dim=_integer(path, raw, "head_dim", hidden // heads),
            max_positions=_integer(path, raw, "max_position_embeddings"),
            rms_norm_eps=_positive(path, raw, "rms_norm_eps"),
            rope_theta=theta,
            rope_scaling=scaling,
            tied_head=tied,
            bos_token=_integer(path, raw, "bos_token_id", 1, least=0),
            end_tokens=end_tokens(path.parent, raw),
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from None


def config_json(config: LlamaConfig, dtype: str) -> str:
    """The text of a config.json that transformers 4 and 5 both read; `dtype` is that of the weights."""
    value = {
        "architectures": [ARCHITECTURE],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        # Old releases of transformers read "type", new ones "rope_type".
        "rope_scaling": None
        if config.rope_scaling == 1.0
        else {"type": "linear", "rope_type": "linear", "factor": config.rope_scaling},
        "tie_word_embeddings": config.tied_head,
        "bos_token_id": config.bos_token,
        "eos_token_id": spell(config.end_tokens),
        "torch_dtype": dtype,
        **FIXED,
    }
    return json.dumps(value, indent=2) + "\n"


def _rope(path: Path, raw: Mapping[str, Any]) -> tuple[float, float]:
    """(base frequency theta, linear scaling factor) in either of the two spellings."""
    old, new = raw.get("rope_scaling"), raw.get("rope_parameters")
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(raw.get(key, {}), dict):
            raise UserError(f"{path}: {key} is {json.dumps(raw[key])}, expected an object or null.")
    if old and new and old != new:
        raise UserError(
            f"{path}: rope_scaling {json.dumps(old)} and rope_parameters {json.dumps(new)} differ. Keep one."
        )
    rope = new or old or {}
    if "rope_theta" in raw and rope.get("rope_theta", raw["rope_theta"]) != raw["rope_theta"]:
        raise UserError(f"{path}: rope_theta is {raw['rope_theta']} and {rope['rope_theta']} inside. Keep one.")
    theta = _positive(path, {"rope_theta": 10_000.0, **raw, **rope}, "rope_theta")
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise UserError(f"{path}: partial_rotary_factor is {rope['partial_rotary_factor']}; only 1 is supported.")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, 1.0
    if kind == "linear":
        return theta, _positive(path, rope, "factor")
    raise UserError(f'{path}: RoPE type {json.dumps(kind)}; only "default" and "linear" are supported.')


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

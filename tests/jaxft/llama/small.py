"""Small random Llamas in Hugging Face layout, written with safetensors' own writer, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - gives numpy the name "bfloat16"
import numpy as np
from safetensors.numpy import save_file

from jaxft.llama.checkpoint import load
from jaxft.llama.model import Llama

_BASE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}

#: config.json of each variant that a Llama folder can have, in the spellings that are around.
CONFIGS: dict[str, dict[str, Any]] = {
    "multi_head": _BASE,
    "grouped": {**_BASE, "num_key_value_heads": 2, "rope_theta": 10000.0, "rope_scaling": None},
    "multi_query": {**_BASE, "num_key_value_heads": 1, "rms_norm_eps": 1e-3},
    "tied": {**_BASE, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "narrow_heads": {**_BASE, "head_dim": 6},
    "large_theta": {**_BASE, "num_key_value_heads": 2, "rope_theta": 500000.0},
    "scaled": {**_BASE, "num_key_value_heads": 2, "rope_scaling": {"type": "linear", "factor": 2.0}},
    "scaled_v5": {
        **_BASE,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
    },
}


def tensors(config: Mapping[str, Any], *, seed: int = 0, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Random tensors under their Hugging Face names; numpy's RandomState keeps its stream for ever."""
    random = np.random.RandomState(seed)
    hidden, mlp, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    width = config.get("head_dim") or hidden // config["num_attention_heads"]
    heads = width * config["num_attention_heads"]
    kv_heads = width * config.get("num_key_value_heads", config["num_attention_heads"])
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.self_attn.q_proj.weight": (heads, hidden),
            f"{prefix}.self_attn.k_proj.weight": (kv_heads, hidden),
            f"{prefix}.self_attn.v_proj.weight": (kv_heads, hidden),
            f"{prefix}.self_attn.o_proj.weight": (hidden, heads),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
            f"{prefix}.mlp.gate_proj.weight": (mlp, hidden),
            f"{prefix}.mlp.up_proj.weight": (mlp, hidden),
            f"{prefix}.mlp.down_proj.weight": (hidden, mlp),
        }
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    values = {}
    for name, shape in shapes.items():
        draw = random.standard_normal(shape)
        # Norm weights around 1, matrices that keep the scale of their input.
        values[name] = (1 + 0.1 * draw if len(shape) == 1 else 1.5 * draw / shape[1] ** 0.5).astype(dtype)
    return values


def write_folder(folder: Path, config: Mapping[str, Any], values: Mapping[str, np.ndarray], *, shards: int = 1) -> Path:
    """A model folder with one weight file, or `shards` of them and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(dict(values), folder / "model.safetensors", {"format": "pt"})
        return folder
    names, weight_map = list(values), {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        mine = names[number::shards]
        save_file({name: values[name] for name in mine}, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(mine, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def random_model(folder: Path, variant: str = "grouped") -> Llama:
    """A random model of one variant, through a folder on disk."""
    config = CONFIGS[variant]
    write_folder(folder, config, tensors(config))
    return load(folder)

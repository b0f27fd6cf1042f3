"""A tiny random model of each family, with config.json as the family's models are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import LlamaConfig
from jaxft.llama.hf_tensors import parameters
from tests.jaxft.llama.small import write_folder

#: Of the goldens: two texts of random tokens, and the positions of the first whose logits are kept.
SEED, LENGTHS, KEPT, REPLY = 3, (24, 13), (1, 11, 23), 6


def _config(model_type: str, architecture: str, **keys: Any) -> dict[str, Any]:
    common: dict[str, Any] = {
        "architectures": [f"{architecture}ForCausalLM"],
        "model_type": model_type,
        "vocab_size": 61,
        "hidden_size": 32,
        "intermediate_size": 44,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 96,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    }
    return common | keys


_GEMMA: dict[str, Any] = {
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "head_dim": 12,
    "tie_word_embeddings": True,
}
_GEMMA3: dict[str, Any] = {
    **_GEMMA,
    "sliding_window": 8,
    "sliding_window_pattern": 3,
    "query_pre_attn_scalar": 10,
    "rope_local_base_freq": 100.0,
    "rope_scaling": None,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
}
_LLAMA3 = {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
_YARN = {"factor": 6.0, "original_max_position_embeddings": 16}

CONFIGS: dict[str, dict[str, Any]] = {
    "llama_biases": _config("llama", "Llama", attention_bias=True, mlp_bias=True),
    "llama3": _config("llama", "Llama", rope_theta=100.0, rope_scaling={"rope_type": "llama3", **_LLAMA3}),
    "llama_yarn": _config("llama", "Llama", rope_theta=1e3, rope_scaling={"type": "yarn", "finetuned": True, **_YARN}),
    "mistral": _config("mistral", "Mistral", sliding_window=8),
    "qwen2": _config("qwen2", "Qwen2", use_sliding_window=False, sliding_window=64, max_window_layers=2),
    "qwen2_windows": _config("qwen2", "Qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1),
    "qwen3": _config("qwen3", "Qwen3", head_dim=12, rope_scaling={"rope_type": "yarn", **_YARN}),
    "smollm3": _config(
        "smollm3", "SmolLM3", no_rope_layers=[1, 0, 1], tie_word_embeddings=True, use_sliding_window=False,
    ),
    "granite": _config(
        "granite", "Granite", embedding_multiplier=6.0, residual_multiplier=0.3, attention_multiplier=0.2,
        logits_scaling=3.0, tie_word_embeddings=True,
    ),
    "olmo2": _config("olmo2", "Olmo2", bos_token_id=None),
    "gemma": _config("gemma", "Gemma", **{**_GEMMA, "hidden_act": "gelu"}),
    "gemma2": _config(
        "gemma2", "Gemma2", **_GEMMA, sliding_window=8, query_pre_attn_scalar=10, attn_logit_softcapping=5.0,
        final_logit_softcapping=8.0,
    ),
    "gemma3": _config("gemma3_text", "Gemma3", **_GEMMA3),
    "gemma3_linear": _config(
        "gemma3_text", "Gemma3", **_GEMMA3 | {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    ),
    "phi3": _config("phi3", "Phi3", sliding_window=8),
    "phi4_mini": _config(
        "phi3", "Phi3", partial_rotary_factor=0.75, original_max_position_embeddings=48, tie_word_embeddings=True,
        rope_scaling={"type": "longrope", "short_factor": [1.0, 1.5, 2.0], "long_factor": [1.0, 3.0, 9.0]},
    ),
}  # fmt: skip


def write_family(folder: Path, name: str, **changes: Any) -> LlamaConfig:
    """Write the model of a family, or one with other keys, to `folder`; the weights follow from SEED alone."""
    write_folder(folder, CONFIGS[name] | changes, {})
    config = read_config(folder)
    random, values = np.random.RandomState(SEED), {}
    for tensor, shape in sorted({(n, one.whole) for one in parameters(config) for n in one.tensors}):
        draw = random.standard_normal(shape)
        if len(shape) == 2:
            draw *= 1.5 / shape[1] ** 0.5
        elif tensor.endswith("norm.weight") and not config.norm_plus_one:
            draw = 1 + 0.3 * draw
        else:
            draw *= 0.3
        values[tensor] = draw.astype("float32")
    write_folder(folder, json.loads((folder / "config.json").read_text()), values)
    return config


def texts() -> list[np.ndarray]:
    """Two texts [T] of random tokens."""
    random = np.random.RandomState(SEED)
    return [random.randint(3, 61, length).astype(np.int32) for length in LENGTHS]

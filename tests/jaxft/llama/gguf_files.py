"""GGUF files, written as llama.cpp's `convert_hf_to_gguf.py` does, with the package gguf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed (extra gguf)")

#: tokenizer.ggml.* of a byte-level tokenizer of 64 tokens.
TINY_TOKENIZER: dict[str, Any] = {
    "model": "gpt2",
    "pre": "smollm",
    "tokens": ["<s>", "</s>", "a", "b", "ab", *(f"<{index}>" for index in range(5, 64))],
    "token_type": [3, 3, 1, 1, 1, *59 * [5]],
    "merges": ["a b"],
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def tokenizer_of(folder: Path, kind: str, pre: str) -> dict[str, Any]:
    """tokenizer.ggml.* of a Hugging Face folder with a BPE tokenizer."""
    raw = json.loads((folder / "tokenizer.json").read_text())
    names = {name: token for name, token in json.loads((folder / "tokenizer_config.json").read_text()).items()}
    vocab = raw["model"]["vocab"]
    tokens = sorted(vocab, key=vocab.__getitem__)
    special = {token["content"] for token in raw["added_tokens"]}
    values: dict[str, Any] = {"model": kind, "pre": pre, "tokens": tokens}
    values["token_type"] = [3 if token in special else 6 if token.startswith("<0x") else 1 for token in tokens]
    if kind == "llama":
        values["scores"] = [-index if token.strip("\u2581") else -1e9 for index, token in enumerate(tokens)]
        values["scores"] = [float(score) for score in values["scores"]]
    else:
        values["merges"] = [merge if isinstance(merge, str) else " ".join(merge) for merge in raw["model"]["merges"]]
    for name in ("bos", "eos"):
        token = names[f"{name}_token"]
        values[f"{name}_token_id"] = vocab[token if isinstance(token, str) else token["content"]]
    return values


def quantised(value: np.ndarray, kind: Any) -> np.ndarray:
    """The blocks of a matrix. Of kinds that the package cannot write, blocks of bytes below 48 (small numbers)."""
    try:
        return gguf.quants.quantize(value, kind)
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        shape = (*value.shape[:-1], value.shape[-1] // block * size)
        return np.random.RandomState(value.size).randint(0, 48, shape).astype(np.uint8)


def write(
    path: Path,
    architecture: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    tokenizer: Mapping[str, Any] = TINY_TOKENIZER,
    *,
    dtype: str = "F32",
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """The model with this config.json and these tensors, under their Hugging Face names, as a GGUF file.

    dtype: of the matrices, as ggml calls it; vectors are float32. extra: further metadata, by its full key.
    """
    writer = gguf.GGUFWriter(path, architecture)
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads", config["num_attention_heads"])
    width = config.get("head_dim") or config["hidden_size"] // heads
    values: dict[str, Any] = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": width,
        "attention.value_length": width,
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "rope.dimension_count": width,
        "rope.freq_base": float(config.get("rope_theta", 10_000.0)),
    }
    metadata = {f"{architecture}.{key}": value for key, value in values.items()}
    metadata |= {f"tokenizer.ggml.{key}": value for key, value in tokenizer.items()} | dict(extra or {})
    for key, value in metadata.items():
        kind = gguf.GGUFValueType.get_type(value)
        add = {int: writer.add_uint32, bool: writer.add_bool, float: writer.add_float32}.get(type(value))
        add(key, value) if add else writer.add_key_value(key, value, kind)
    names = gguf.get_tensor_name_map(
        next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), config["num_hidden_layers"]
    )
    for name, tensor in tensors.items():
        value = tensor.astype(np.float32)
        if architecture == "llama" and name.split(".")[-2] in ("q_proj", "k_proj"):
            n = heads if "q_proj" in name else kv_heads  # llama.cpp's `permute`
            value = value.reshape(n, 2, value.shape[0] // n // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            value = value + 1
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        kind = gguf.GGMLQuantizationType["F32" if value.ndim == 1 else dtype]
        writer.add_tensor(found or name, quantised(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

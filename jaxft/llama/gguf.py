"""A GGUF file (llama.cpp), dequantised into a Hugging Face folder. Needs the package `gguf`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxft.errors import UserError
from jaxft.llama.ends import GENERATION, spell
from jaxft.llama.gguf_tokenizer import read_tokenizer
from jaxft.llama.hf_files import exact_tokenizer
from jaxft.llama.hf_json import read_json
from jaxft.llama.hf_writer import Entry, write_weights

#: Hugging Face name and class of each architecture that is read.
ARCHITECTURES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "gemma": ("gemma", "GemmaForCausalLM"),
    "gemma2": ("gemma2", "Gemma2ForCausalLM"),
    "gemma3": ("gemma3_text", "Gemma3ForCausalLM"),
}
_KEYS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.freq_base": "rope_theta",
    "rope.freq_base_swa": "rope_local_base_freq",
}
_SCALING = "rope.scaling."
#: Keys that repeat what others say; checked where they could say something else.
_REPEATED = ("vocab_size", "rope.dimension_count", "attention.value_length", "rope.scaling.finetuned")
_ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NORMS_ON_BOTH_SIDES = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_FLOATS = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
# RoPE "llama3" of every Llama 3.1 to 3.3; a GGUF file keeps only the divisor of each frequency.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def write_folder(path: Path, folder: Path) -> None:
    """Write the model in the GGUF file `path` into the empty `folder`, in the Hugging Face layout.

    Tensors in float32, float16 and bfloat16 keep their dtype; quantised ones become float32, exactly. UserError names
    an architecture, a key, a tensor or a kind of tokenizer that is not known here.
    """
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError:
        raise UserError(f"{path}: reading a GGUF file needs the package gguf: pip install 'gguf>=0.17'.") from None
    try:
        reader = GGUFReader(path)
        values = {key: field.contents() for key, field in reader.fields.items()}
    except (OSError, ValueError, IndexError, KeyError) as error:
        with suppress(OSError), path.open("rb") as file:
            if b"GGUF".startswith(file.read(4)) and "version" not in str(error):
                raise UserError(f"{path}: is cut short; download it again.") from None
        raise UserError(f"{path}: not a GGUF file that can be read ({error}). Download it again.") from None
    if (parts := values.get("split.count", 1)) > 1:
        raise UserError(f"{path}: is one of {parts} parts of a model. Join them with llama.cpp's gguf-split.")
    architecture = values.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UserError(
            f'{path}: architecture "{architecture}" is not supported. Supported: {", ".join(ARCHITECTURES)}.'
        )
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = _config(path, architecture, values, tensors)
    tokenizer = read_tokenizer(path, values, architecture)
    tokens = _special_tokens(values)
    config |= tokens
    write_weights(_entries(path, architecture, config, tensors), folder, 5_000_000_000)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / GENERATION).write_text(json.dumps(tokens, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(exact_tokenizer(read_json(settings)), indent=2) + "\n", encoding="utf-8")


def _special_tokens(values: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of BOS and of the end tokens, as config.json and generation_config.json name them."""
    bos, *ends = (values.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "eot"))
    found = {"bos_token_id": bos, "eos_token_id": spell(list(dict.fromkeys(end for end in ends if end is not None)))}
    return {key: value for key, value in found.items() if value is not None}


def _config(path: Path, architecture: str, values: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """config.json from the metadata; UserError for a key of this architecture that is not known here."""
    model_type, name = ARCHITECTURES[architecture]
    prefix = f"{architecture}."
    given = {key.removeprefix(prefix): _plain(value) for key, value in values.items() if key.startswith(prefix)}
    config: dict[str, Any] = {"architectures": [name], "model_type": model_type, "hidden_act": "silu"}
    scaling: dict[str, Any] = {}
    for key, value in given.items():
        if key in _KEYS:
            config[_KEYS[key]] = value
        elif key.startswith(_SCALING):
            scaling[key.removeprefix(_SCALING)] = value
        elif key not in _REPEATED:
            raise UserError(f"{path}: {prefix}{key} is {value!r}; this key is not supported.")
    missing = [f"{prefix}{key}" for key in list(_KEYS)[:5] if _KEYS[key] not in config]
    if missing or "token_embd.weight" not in tensors:
        raise UserError(f"{path}: {(missing or ['tensor token_embd.weight'])[0]} is missing.")
    head_dim = config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    for key in ("rope.dimension_count", "attention.value_length"):
        if given.get(key, head_dim) != head_dim:
            raise UserError(f"{path}: {prefix}{key} is {given[key]}; only {head_dim}, the key length, is supported.")
    config["vocab_size"] = int(tensors["token_embd.weight"].shape[1])
    config["tie_word_embeddings"] = "output.weight" not in tensors
    if architecture != "qwen2":  # which always has its biases
        config["attention_bias"] = "blk.0.attn_q.bias" in tensors
    if architecture == "llama":
        config["mlp_bias"] = "blk.0.ffn_up.bias" in tensors
    config["rope_scaling"] = _rope_scaling(path, config, scaling, tensors)
    types = {tensor.tensor_type.name for tensor in tensors.values() if len(tensor.shape) == 2}
    dtype = np.dtype(_FLOATS.get(types.pop(), np.float32) if len(types) == 1 else np.float32).name
    return {**config, **_constants(architecture, config), "torch_dtype": dtype}


def _plain(value: Any) -> Any:
    """A float is stored as float32; the shortest decimal of it is what the author wrote, such as 1e-5."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _constants(architecture: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Constants of Gemma that llama.cpp has in its code (`src/models/gemma*.cpp`), not in the file."""
    if not architecture.startswith("gemma"):
        return {}
    found: dict[str, Any] = {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"}
    if architecture != "gemma":
        largest = config["num_hidden_layers"] == {"gemma2": 46, "gemma3": 62}[architecture]  # 27 B parameters
        scalar = config["hidden_size"] // config["num_attention_heads"] if largest else config["head_dim"]
        found["query_pre_attn_scalar"] = scalar
    if architecture == "gemma3":
        found |= {"rope_local_base_freq": config.get("rope_local_base_freq", 10_000.0), "sliding_window_pattern": 6}
    return found


def _rope_scaling(
    path: Path, config: Mapping[str, Any], scaling: Mapping[str, Any], tensors: Mapping[str, Any]
) -> dict[str, Any] | None:
    kind = scaling.get("type", "none")
    if "rope_freqs.weight" in tensors:
        return _llama3(path, config, np.asarray(tensors["rope_freqs.weight"].data, np.float32))
    if kind == "none":
        return None
    known = {"type", "factor", "finetuned", *(["original_context_length"] if kind == "yarn" else [])}
    if kind not in ("linear", "yarn") or not known >= scaling.keys() or "factor" not in scaling:
        raise UserError(f"{path}: RoPE scaling {json.dumps(dict(scaling))} is not supported.")
    found = {"type": kind, "rope_type": kind, "factor": scaling["factor"]}
    if "original_context_length" in scaling:
        found["original_max_position_embeddings"] = scaling["original_context_length"]
    return found


def _llama3(path: Path, config: Mapping[str, Any], divisors: np.ndarray) -> dict[str, Any]:
    """The RoPE "llama3" whose divisors these are, by llama.cpp's own formula (`convert_hf_to_gguf.py`)."""
    half, low, high, original = config["head_dim"] // 2, *_LLAMA3.values()
    factor = float(divisors.max())
    wavelength = 2 * np.pi * config["rope_theta"] ** (np.arange(half) / half)
    smooth = np.clip((original / wavelength - low) / (high - low), 0, 1)
    if divisors.shape != (half,) or not np.allclose(divisors, 1 / ((1 - smooth) / factor + smooth), rtol=1e-4):
        raise UserError(f"{path}: rope_freqs.weight is not that of a Llama 3; no other RoPE with it is supported.")
    return {"type": "llama3", "rope_type": "llama3", "factor": factor, **_LLAMA3}


def _entries(path: Path, architecture: str, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> Iterator[Entry]:
    """Every tensor under its Hugging Face name, dequantised when it is written."""
    from gguf.quants import dequantize

    gemma = architecture.startswith("gemma")
    layer = {**_LAYER, **(_NORMS_ON_BOTH_SIDES if architecture in ("gemma2", "gemma3") else {})}
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for name, tensor in tensors.items():
        if name == "rope_freqs.weight":
            continue
        found = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
        number, module, kind = found.groups() if found else (None, "", "")
        renamed = (_ENDS if number is None else layer).get(module)
        if renamed is None:
            raise UserError(f'{path}: tensor {name} is unknown to architecture "{architecture}".')
        renamed = f"{renamed}.{kind}" if number is None else f"model.layers.{number}.{renamed}.{kind}"
        type_ = tensor.tensor_type
        dtype, shape = np.dtype(_FLOATS.get(type_.name, np.float32)), tuple(int(size) for size in tensor.shape[::-1])

        def values(tensor: Any = tensor, module: str = module, dtype: np.dtype = dtype, kind: str = kind) -> np.ndarray:
            try:
                value = dequantize(tensor.data, tensor.tensor_type)
            except NotImplementedError as error:
                raise UserError(f"{path}: tensor {tensor.name}: {error}.") from None
            if architecture == "llama" and module in heads:
                value = _rotate_half(value, heads[module])
            if gemma and module.endswith("norm"):
                value = value - 1  # llama.cpp stores 1 + weight
            return value.astype(dtype)

        yield Entry(renamed, dtype.name, shape, values)


def _rotate_half(value: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k [heads * head_dim, ...] from llama.cpp's order, in which pairs of features lie next to each other,
    to that of Hugging Face, in which they lie half a head apart."""
    pairs = value.reshape(heads, value.shape[0] // heads // 2, 2, *value.shape[1:])
    return pairs.swapaxes(1, 2).reshape(value.shape)

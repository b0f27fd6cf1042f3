"""GGUF files: weights, constants and tokens equal those of the folder they were made from, or the file is refused."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import jaxft
from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError
from jaxft.llama.checkpoint import content_hash, load, read_config
from jaxft.llama.locate import locate
from tests.jaxft.llama.gguf_files import TINY_TOKENIZER, gguf, quantised, tokenizer_of, write
from tests.jaxft.llama.small import CONFIGS, tensors, write_folder

BASE = Path(jaxft.__file__).parent / "assets" / "base"
CONFIG = {**CONFIGS["grouped"], "vocab_size": 64, "intermediate_size": 64, "rope_theta": 5e5}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JAXFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def test_a_llama_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """The shipped base as a GGUF file in float32: the same model, tokens and chat template."""
    source = load_tokenizer(BASE)
    template = {"tokenizer.chat_template": source.chat_template}
    path = tmp_path / "base.gguf"
    tokenizer = tokenizer_of(BASE, "gpt2", "smollm")
    write(path, "llama", config_of(BASE), load_file(BASE / "model.safetensors"), tokenizer, extra=template)
    folder = locate(path)
    assert content_hash(folder) == content_hash(BASE)
    found, text = load_tokenizer(folder), "A room for 12 nights,\n  please! <|user|>é"
    assert found.encode(text, add_special_tokens=False) == source.encode(text, add_special_tokens=False)
    assert found.decode(found.encode(text, add_special_tokens=False)) == text
    assert (found.chat_template, found.bos_token, found.eos_token) == (source.chat_template, "<s>", "</s>")
    assert json.loads((folder / "generation_config.json").read_text()) == {"bos_token_id": 1, "eos_token_id": 2}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_weights_of_every_kind(tmp_path: Path, dtype: str) -> None:
    """Every tensor is what the package gguf makes of the source's, in the source's order of rows."""
    source = tensors(CONFIG)
    folder = locate(write(tmp_path / "a.gguf", "llama", CONFIG, source, dtype=dtype))
    kind, stored = gguf.GGMLQuantizationType[dtype], {"F16": "float16", "BF16": "bfloat16"}.get(dtype, "float32")
    found = load_file(folder / "model.safetensors")
    assert found.keys() == source.keys()
    for name, value in source.items():
        expected = value if value.ndim == 1 else gguf.dequantize(gguf.quants.quantize(value, kind), kind)
        np.testing.assert_array_equal(found[name].astype(np.float32), expected, name)
        assert found[name].dtype == ("float32" if value.ndim == 1 else stored)
    assert config_of(folder)["torch_dtype"] == stored
    assert (load(folder).config.rms_norm_eps, config_of(folder)["rope_theta"]) == (1e-5, 5e5)


@pytest.mark.parametrize("dtype", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"])
def test_weights_in_large_blocks(tmp_path: Path, dtype: str) -> None:
    config = {**CONFIG, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1}
    source, kind = tensors(config), gguf.GGMLQuantizationType[dtype]
    found = load_file(locate(write(tmp_path / "a.gguf", "llama", config, source, dtype=dtype)) / "model.safetensors")
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"):
        np.testing.assert_array_equal(found[name], gguf.dequantize(quantised(source[name], kind), kind), name)
        assert np.isfinite(found[name]).all() and found[name].std() > 0


def added(config: dict[str, Any], source: dict[str, np.ndarray], *ends: str) -> dict[str, np.ndarray]:
    """The tensors with further vectors in each layer, by the end of their name."""
    width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    sizes = {"q_proj.bias": 32, "k_proj.bias": 16, "v_proj.bias": 16, "q_norm.weight": width, "k_norm.weight": width}
    random = np.random.RandomState(1)
    for layer in range(config["num_hidden_layers"]):
        for end in ends:
            value = random.standard_normal(sizes.get(end.removeprefix("self_attn."), 32)).astype(np.float32)
            source[f"model.layers.{layer}.{end}"] = value
    return source


BIASES = [f"self_attn.{name}_proj.bias" for name in "qkv"]
QK_NORMS = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"]
FEEDFORWARD_NORMS = ["pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight"]
WINDOW = {"attention.sliding_window": 16}
GEMMA = {"hidden_activation": "gelu_pytorch_tanh", "hidden_act": "gelu_pytorch_tanh"}
#: For each architecture: class, tensors beyond a Llama's, metadata, and config.json where it differs from a Llama's.
FAMILIES: dict[str, tuple[str, list[str], dict[str, Any], dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", [*BIASES, "self_attn.o_proj.bias"], {}, {"attention_bias": True}),
    "qwen2": ("Qwen2ForCausalLM", BIASES, {}, {}),
    "qwen3": ("Qwen3ForCausalLM", QK_NORMS, {}, {"head_dim": 8}),
    "gemma": ("GemmaForCausalLM", [], {}, {**GEMMA, "head_dim": 8}),
    "gemma2": (
        "Gemma2ForCausalLM",
        FEEDFORWARD_NORMS,
        {**WINDOW, "attn_logit_softcapping": 40.0, "final_logit_softcapping": 20.0},
        {**GEMMA, "head_dim": 8, "attn_logit_softcapping": 40.0, "final_logit_softcapping": 20.0}
        | {"sliding_window": 16, "query_pre_attn_scalar": 8},
    ),
    "gemma3": (
        "Gemma3ForCausalLM",
        FEEDFORWARD_NORMS + QK_NORMS,
        {**WINDOW, "rope.scaling.type": "linear", "rope.scaling.factor": 8.0},
        {**GEMMA, "model_type": "gemma3_text", "head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}
        | {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    ),
}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_architectures(tmp_path: Path, architecture: str) -> None:
    name, ends, keys, differences = FAMILIES[architecture]
    tied = architecture != "qwen2"
    layers = 7 if architecture == "gemma3" else 2  # its sixth layer sees everything
    config = {**CONFIG, "num_hidden_layers": layers, "bos_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": tied}
    source = added(config, tensors(config), *ends)
    extra = {f"{architecture}.{key}": value for key, value in keys.items()}
    folder = locate(write(tmp_path / "a.gguf", architecture, config, source, extra=extra))
    found = load_file(folder / "model.safetensors")
    assert found.keys() == source.keys()
    for name_, value in source.items():  # 1 + weight is rounded once
        atol = 3e-7 if architecture.startswith("gemma") and name_.endswith("norm.weight") else 0
        np.testing.assert_allclose(found[name_], value, rtol=0, atol=atol, err_msg=name_)
    config |= {"model_type": architecture, "architectures": [name], **differences}
    expected = read_config(write_folder(tmp_path / "source", config, source))
    assert load(folder).config == expected


def llama3_divisors(theta: float, width: int, factor: float) -> np.ndarray:
    """The divisor of each rotary frequency, computed in a loop as in llama.cpp (`convert_hf_to_gguf.py`)."""
    found = []
    for feature in range(0, width, 2):
        wavelength = 2 * math.pi * theta ** (feature / width)
        if wavelength < 8192 / 4:
            found.append(1.0)
        elif wavelength > 8192 / 1:
            found.append(factor)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, np.float32)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama_3_keeps_its_rope(tmp_path: Path, factor: float) -> None:
    config = {**CONFIG, "head_dim": 64}
    divisors = llama3_divisors(5e5, 64, factor)
    assert 1 < np.unique(divisors).size < 32
    source = {**tensors(config), "rope_freqs.weight": divisors}
    folder = locate(write(tmp_path / "a.gguf", "llama", config, source))
    expected = {"factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    expected |= {"type": "llama3", "rope_type": "llama3", "original_max_position_embeddings": 8192}
    assert config_of(folder)["rope_scaling"] == expected
    source["rope_freqs.weight"] = divisors**1.01
    with pytest.raises(UserError, match="rope_freqs.weight is not that of a Llama 3"):
        locate(write(tmp_path / "b.gguf", "llama", config, source))


SPLITS = {
    "llama-bpe": ["I", "'LL", "Ġpay", "Ġ", "123", "45", "Ġ!!ĊĊ", "Ġ", "Ġso", "ĠĠ"],
    "qwen2": ["I", "'LL", "Ġpay", "Ġ", "1", "2", "3", "4", "5", "Ġ!!ĊĊ", "Ġ", "Ġso", "ĠĠ"],
    "smollm": ["I", "'", "LL", "Ġpay", "Ġ", "1", "2", "3", "4", "5", "Ġ!!", "ĊĊĠ", "Ġso", "ĠĠ"],
}


@pytest.mark.parametrize("pre", SPLITS)
def test_pre_tokenizers(tmp_path: Path, pre: str) -> None:
    """Pieces of a text in which the three differ, as the published tokenizers cut it."""
    folder = locate(write(tmp_path / "a.gguf", "llama", CONFIG, tensors(CONFIG), {**TINY_TOKENIZER, "pre": pre}))
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert backend.pre_tokenizer is not None
    assert [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str("I'LL pay 12345 !!\n\n  so  ")] == SPLITS[pre]
    assert load_tokenizer(folder).bos_token == (None if pre == "qwen2" else "<s>")


@pytest.mark.parametrize(("name", "vocab"), [("stories260K_hf", 512), ("llama2_tokenizer", 32000)])
def test_sentencepiece_tokenizers(tmp_path: Path, name: str, vocab: int) -> None:
    data = os.environ.get("JAXFT_TEST_DATA")
    if not data:
        pytest.skip("JAXFT_TEST_DATA is unset: no sentencepiece tokenizer to compare with")
    config = {**CONFIG, "vocab_size": vocab, "num_hidden_layers": 1}
    values = {**tokenizer_of(Path(data) / name, "llama", "default"), "unknown_token_id": 0}
    folder = locate(write(tmp_path / "a.gguf", "llama", config, tensors(config), values))
    source, found = (Tokenizer.from_file(str(place / "tokenizer.json")) for place in (Path(data) / name, folder))
    for text in ("Once upon a time, there was  a room.\n\n</s> A\tday é 日本 🙂", " leading", "", "trailing  "):
        assert found.encode(text).ids == source.encode(text).ids, text
        assert found.decode(found.encode(text).ids) == source.decode(source.encode(text).ids)


def test_end_tokens_templates_and_user_defined_tokens(tmp_path: Path) -> None:
    values = {**TINY_TOKENIZER, "tokens": ["<s>", "</s>", "a", "b", "<|eot|>", "<think>", "ab"]}
    values |= {"token_type": [3, 3, 1, 1, 3, 4, 1], "eot_token_id": 4, "add_bos_token": True}
    templates = {"tokenizer.chat_templates": ["tool_use"], "tokenizer.chat_template.tool_use": "{{ 2 }}"}
    extra = {"tokenizer.chat_template": "{{ 1 }}", **templates}
    folder = locate(write(tmp_path / "a.gguf", "llama", CONFIG, tensors(CONFIG), values, extra=extra))
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [1, 4]
    assert load(folder).config.end_tokens == (1, 4)
    found = load_tokenizer(folder)
    assert found.encode("ab<think>a<|eot|>") == [0, 6, 5, 2, 4]
    assert found.decode([5, 2, 4], skip_special_tokens=True) == "<think>a"
    assert found.chat_template == {"default": "{{ 1 }}", "tool_use": "{{ 2 }}"}


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "architecture": ("phi3", {}, {}, 'architecture "phi3" is not supported. Supported: llama, qwen2'),
    "part": ("llama", {"split.count": 3}, {}, "is one of 3 parts of a model"),
    "spaces": (
        "llama",
        {},
        {"model": "llama", "pre": "default", "remove_extra_whitespaces": True},
        "whitespaces is set",
    ),
    "experts": ("llama", {"llama.expert_count": 8}, {}, "llama.expert_count is 8; this key is not supported"),
    "unknown key": ("qwen2", {"qwen2.attention.scale": 0.5}, {}, "qwen2.attention.scale is 0.5"),
    "partial rotary": ("llama", {"llama.rope.dimension_count": 4}, {}, "rope.dimension_count is 4; only 8"),
    "longrope": ("llama", {"llama.rope.scaling.type": "longrope"}, {}, 'RoPE scaling {"type": "longrope"} is not'),
    "yarn": ("llama", {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.yarn_beta_fast": 9.0}, {}, "beta_fast"),
    "pre-tokenizer": ("llama", {}, {"pre": "tekken"}, 'tokenizer "gpt2" with pre-tokenizer "tekken" is not supported'),
    "no pre-tokenizer": ("llama", {}, {"pre": "default"}, 'tokenizer "gpt2" with pre-tokenizer "default"'),
    "tokenizer": ("llama", {}, {"model": "t5"}, 'tokenizer "t5" with'),
    "token out of range": ("llama", {}, {"eos_token_id": 64}, "eos_token is token 64, but there are only 64 tokens"),
}


@pytest.mark.parametrize(("architecture", "extra", "tokenizer", "message"), REFUSED.values(), ids=REFUSED)
def test_files_that_are_refused(
    tmp_path: Path, own_cache: Path, architecture: str, extra: dict, tokenizer: dict, message: str
) -> None:
    path = tmp_path / "a.gguf"
    write(path, architecture, CONFIG, tensors(CONFIG), {**TINY_TOKENIZER, **tokenizer}, extra=extra)
    with pytest.raises(UserError) as error:
        locate(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert [found for found in own_cache.iterdir() if not found.name.endswith(".lock")] == []


@pytest.mark.parametrize("keep", [0, 3, 100, 2_000, -100])
def test_a_file_cut_short(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "a.gguf", "llama", CONFIG, tensors(CONFIG))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"a.gguf: is cut short; download it again\.$"):
        locate(path)


@pytest.mark.parametrize("content", [b"PK a zip archive of some length", b"GGUF\x63\0\0\0" + b"\0" * 40])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(UserError, match="not a GGUF file that can be read"):
        locate(tmp_path / "a.gguf")


def test_an_unknown_tensor(tmp_path: Path) -> None:
    source = {**tensors(CONFIG), "blk.0.ffn_gate_exps.weight": np.ones((4, 32), np.float32)}
    with pytest.raises(UserError, match="tensor blk.0.ffn_gate_exps.weight is unknown"):
        locate(write(tmp_path / "a.gguf", "llama", CONFIG, source))


def test_read_once(tmp_path: Path, own_cache: Path) -> None:
    """Several readers at once share one folder; another file of the same name gets its own."""
    path, found = write(tmp_path / "a.gguf", "llama", CONFIG, tensors(CONFIG)), []
    threads = [threading.Thread(target=lambda: found.append(locate(path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    made = (found[0] / "config.json").stat().st_mtime_ns
    assert locate(path) == found[0] and (found[0] / "config.json").stat().st_mtime_ns == made
    write(path, "llama", CONFIG, tensors(CONFIG, seed=1), dtype="F16")
    other = locate(path)
    assert other != found[0] and {other.parent, found[0].parent} == {own_cache}

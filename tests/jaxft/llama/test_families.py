"""The model families: numbers of transformers, texts that share a row, files in and out, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from safetensors import safe_open
from safetensors.numpy import load_file

from jaxft.errors import UserError
from jaxft.llama.attention import choose_attention, splash_fits
from jaxft.llama.capture import run_block
from jaxft.llama.checkpoint import content_hash, load, read_config, save
from jaxft.llama.config import LlamaConfig
from jaxft.llama.drift import drift
from jaxft.llama.flops import attention
from jaxft.llama.generate import generate
from jaxft.llama.loss import token_losses
from jaxft.llama.model import Compute, Llama, embed, forward, hidden, layer_slice
from jaxft.llama.rope import NoRope, Rope, Yarn
from jaxft.llama.sharding import parameter_spec
from jaxft.llama.sight import local_layers
from jaxft.sharding import LAYOUTS, Layout, Sharding, make_mesh, shard_rows, use_mesh
from tests.jaxft.llama.small_families import CONFIGS, KEPT, REPLY, texts, write_family

GOLDENS = Path(__file__).parent / "goldens" / "families.safetensors"
#: Families that decode in a way of their own: each takes seconds to compile.
DECODED = ("mistral", "smollm3", "gemma3")


def packed() -> dict[str, np.ndarray]:
    """Row 0: the first text alone. Row 1: the second text, then the first."""
    first, second = texts()
    length = len(first) + len(second)
    rows = {name: np.zeros((2, length), np.int32) for name in ("tokens", "positions", "segments")}
    for row, start, text, segment in ((0, 0, first, 1), (1, 0, second, 1), (1, len(second), first, 2)):
        part = (row, slice(start, start + len(text)))
        rows["tokens"][part], rows["positions"][part], rows["segments"][part] = text, np.arange(len(text)), segment
    return rows


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_of_a_text_alone_and_in_a_shared_row_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    write_family(tmp_path, name)
    logits, model = load_file(GOLDENS)[f"{name}.logits"], load(tmp_path)
    got = np.asarray(jax.jit(forward)(model, **packed()))
    np.testing.assert_allclose(got[0, list(KEPT)], logits, rtol=0, atol=1e-4)
    np.testing.assert_allclose(got[1, len(texts()[1]) + np.array(KEPT)], logits, rtol=0, atol=1e-4)
    if name in DECODED:
        reply = load_file(GOLDENS)[f"{name}.reply"].tolist()
        assert generate(model, [texts()[0].tolist()], max_new_tokens=REPLY, batch_size=1) == [reply]


@pytest.mark.parametrize("name", CONFIGS)
def test_files_go_in_and_out_bit_for_bit_in_both_spellings(tmp_path: Path, name: str) -> None:
    config = write_family(tmp_path / "source", name)
    save(load(tmp_path / "source", dtype=None), tmp_path / "copy")
    source, copy = (load_file(tmp_path / folder / "model.safetensors") for folder in ("source", "copy"))
    assert source.keys() == copy.keys()
    assert all(source[tensor].tobytes() == copy[tensor].tobytes() for tensor in source)
    assert read_config(tmp_path / "copy") == config
    assert content_hash(tmp_path / "copy") == content_hash(tmp_path / "source")
    with safe_open(GOLDENS, "np") as file:
        (tmp_path / "copy" / "config.json").write_text(file.metadata()[name])
    assert read_config(tmp_path / "copy") == config


#: Each flag of every family; the meshes split its heads and widths in two and in four.
EVERYTHING = LlamaConfig(
    64, 32, 48, 2, 8, 8, 4, 64,
    biased=("q", "k", "v", "o", "gate", "up", "down"), norms="both", qk_norm="all", norm_plus_one=True,
    activation="gelu_pytorch_tanh", embedding_scale=30.0, residual_scale=0.7, query_scale=0.3, score_cap=3.0,
    logit_cap=4.0, logit_divisor=0.5, local=(True, False), window=4, local_rope=NoRope(),
    rope=Yarn(factor=4.0, original_max_position_embeddings=8),
)  # fmt: skip


def everything(layout: Layout = Layout(), config: LlamaConfig = EVERYTHING) -> Llama:
    """A random model, its norms and biases too."""
    made, random = Llama(config, rngs=nnx.Rngs(0), compute=Compute(layout=layout)), np.random.RandomState(1)
    for owner, name, parameter in made.parameters():
        value = parameter[...] + jnp.asarray(0.1 * random.standard_normal(parameter.shape), jnp.float32)
        if layout != Layout():
            value = jax.sharding.reshard(value, parameter_spec(layout, owner, name, "hidden"))
        parameter.set_value(value)
    return made


def batch() -> dict[str, np.ndarray]:
    rows = packed()
    return {name: np.tile(value, (2, 1)) for name, value in rows.items()}


def loss(model: Llama, rows: dict[str, Any]) -> jax.Array:
    weights = (rows["segments"] > 0).astype(jnp.float32)
    return token_losses(forward(model, **rows), jnp.roll(rows["tokens"], -1, axis=1), weights).sum()


@pytest.mark.parametrize("qk_norm", ["heads", "all"])
def test_gradients_of_every_parameter_on_a_mesh_are_those_of_one_device(qk_norm: Any) -> None:
    config = replace(EVERYTHING, qk_norm=qk_norm)
    wanted, expected = jax.jit(jax.value_and_grad(loss))(everything(config=config), batch())
    layout = LAYOUTS["fsdp_tensor"]
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        found, got = jax.jit(jax.value_and_grad(loss))(everything(layout, config), shard_rows(batch(), layout))
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    for (_, name, mine), (_, _, theirs) in zip(got.parameters(), expected.parameters(), strict=True):
        mine, theirs = np.asarray(mine[...]), np.asarray(theirs[...])
        assert np.linalg.norm(theirs) > 0, f"{name} has no gradient"
        assert np.linalg.norm(mine - theirs) <= 1e-5 * np.linalg.norm(theirs), name


def test_calibration_and_drift_run_the_same_layers_as_the_forward_pass() -> None:
    model, rows = everything(), packed()
    x, local = embed(model, jnp.asarray(rows["tokens"])), local_layers(EVERYTHING)
    for index in range(EVERYTHING.num_layers):
        layer, kind = layer_slice((model.layers, local), index)
        x, _ = run_block(EVERYTHING, Layout(), layer, x, rows, kind)
    real = rows["segments"] > 0
    states = hidden(model, *(jnp.asarray(rows[name]) for name in ("tokens", "positions", "segments")))
    np.testing.assert_allclose(np.asarray(x)[real], np.asarray(states)[real], rtol=0, atol=1e-5)
    moved = everything()
    moved.layers.q.set_value(1.5 * moved.layers.q[...])
    largest = np.abs(np.asarray(forward(moved, **rows)) - np.asarray(forward(model, **rows)))[real].max()
    assert drift(model, moved, [rows]).logit_max_difference == pytest.approx(largest, rel=1e-3)


def test_a_tensor_of_several_linears_is_read_in_parts_by_each_device(tmp_path: Path) -> None:
    write_family(tmp_path, "phi3", vocab_size=64)
    mesh, layout = make_mesh(Sharding("fsdp_tensor")), LAYOUTS["fsdp_tensor"]
    assert mesh is not None
    split = load(tmp_path, sharding=lambda *of: NamedSharding(mesh, parameter_spec(layout, *of, "hidden")))
    for mine, theirs in zip(jax.tree.leaves(split), jax.tree.leaves(load(tmp_path)), strict=True):
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


def test_the_numbers_of_parameters_are_those_of_the_arrays() -> None:
    for config in (EVERYTHING, replace(EVERYTHING, qk_norm="heads", norms="after", tied_head=True)):
        model = jax.eval_shape(lambda config=config: Llama(config, rngs=nnx.Rngs(0)))
        assert config.parameter_count == sum(leaf.size for leaf in jax.tree.leaves(model))


def test_flops_count_the_keys_inside_the_window() -> None:
    config = replace(EVERYTHING, local=(True, False), window=5)
    for length, cached in ((3, 0), (9, 0), (4, 3), (6, 20)):
        seen = [cached + number + 1 for number in range(length)]
        pairs = sum(seen) + sum(min(5, keys) for keys in seen)
        assert attention(config, 2, length, cached) == 4 * config.num_heads * config.head_dim * 2 * pairs


@pytest.mark.parametrize(
    "flags", [{"local": (True, False), "window": 8}, {"score_cap": 50.0}, {"query_scale": 0.1}], ids=lambda f: str([*f])
)
def test_splash_attention_is_not_chosen_where_it_cannot_compute_the_family(flags: dict[str, Any]) -> None:
    plain = LlamaConfig(64, 256, 256, 2, 2, 2, 128, 512)
    assert splash_fits(plain, 256) and splash_fits(replace(plain, local=(True, True), window=512), 256)
    config = replace(plain, **flags)
    assert not splash_fits(config, 256)
    assert choose_attention("auto", "tpu", config) == "reference"
    with pytest.raises(UserError, match="no windows, soft caps or query scale"):
        choose_attention("splash", "tpu", config)


def test_a_plain_llama_has_the_identity_that_it_always_had() -> None:
    config = LlamaConfig(32_000, 4096, 11_008, 32, 32, 32, 128, 4096, rope=Rope(rope_theta=5e5))
    assert {"rope_theta": 5e5, "rope_scaling": 1.0, "rms_norm_eps": 1e-5, "tied_head": False}.items() <= (
        config.identity().items()
    )
    assert len(config.identity()) == 14
    flags = {field.name: getattr(EVERYTHING, field.name) for field in fields(EVERYTHING)}
    changed = [replace(config, **{name: flags[name]}) for name in [*flags][[*flags].index("biased") :]]
    identities = {json.dumps(one.identity(), sort_keys=True) for one in changed if one != config}
    assert len(identities) == sum(one != config for one in changed) > 10


def test_longrope_holds_within_its_original_context(tmp_path: Path) -> None:
    config = write_family(tmp_path, "phi4_mini")
    with pytest.raises(UserError, match="row_length: found 49, expected at most 48 tokens, the context of the model"):
        config.check_length("row_length", 49)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    **{
        name: ("mistral", {"model_type": name}, f'model_type "{name}" is not supported ({why}); known are llama, ')
        for name, why in {
            "stablelm": "LayerNorm",
            "cohere": "LayerNorm",
            "baichuan": "code of its own and a layout of its own",
            "internlm3": "dynamic RoPE and a layout of its own",
            "minicpm": "code of its own",
            "mixtral": "a mixture of experts",
            "gemma3": "images",
        }.items()
    },
    "experts": ("mistral", {"model_type": "new_moe", "num_experts": 8}, '"new_moe" is not supported (a mixture of exp'),
    "vision": ("mistral", {"model_type": "new_vl", "vision_config": {}}, '"new_vl" is not supported (images)'),
    "unknown": ("mistral", {"model_type": "new"}, 'model_type "new" is not supported; known are llama, mistral, '),
    "task": ("qwen2", {"architectures": ["Qwen2ForTokenClassification"]}, 'expected ["Qwen2ForCausalLM"]'),
    "dynamic": ("qwen2", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, 'RoPE type "dynamic"; only "default"'),
    "yarn of phi": ("phi3", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, 'RoPE type "yarn"; only'),
    "rope key": (
        "llama3",
        {"rope_scaling": {"type": "linear", "factor": 2, "sections": 3}},
        "key sections of RoPE type",
    ),
    "rope number": ("llama3", {"rope_scaling": {"type": "llama3", "factor": 2.0}}, "key low_freq_factor is missing"),
    "rope list": (
        "phi4_mini",
        {"rope_scaling": {"type": "longrope", "short_factor": 1.0, "long_factor": [1.0]}},
        "short_factor is 1.0, expected a list of positive numbers",
    ),
    "rope switch": (
        "qwen3",
        {"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": 0}},
        "truncate is 0, expected",
    ),
    "rope length": (
        "phi4_mini",
        {"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}},
        "short_factor and long_factor need 3 numbers",
    ),
    "rope context": (
        "phi4_mini",
        {"rope_scaling": {**CONFIGS["phi4_mini"]["rope_scaling"], "original_max_position_embeddings": 32}},
        "original_max_position_embeddings is 48 and 32 inside",
    ),
    "partial": ("qwen2", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5; only 1 is supported"),
    "head bias": ("phi3", {"lm_head_bias": True}, "lm_head_bias is true; only false is supported"),
    "attention bias": ("mistral", {"attention_bias": True}, "attention_bias is true; only false is supported"),
    "activation": ("gemma2", {"hidden_activation": "relu"}, 'hidden_activation is "relu"; only "gelu_pytorch_tanh"'),
    "both ways": ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention is true; only false"),
    "score cap": ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0; only null"),
    "cap": (
        "gemma2",
        {"final_logit_softcapping": 0},
        "final_logit_softcapping is 0, expected a positive number or null",
    ),
    "multiplier": ("granite", {"logits_scaling": "8"}, 'logits_scaling is "8", expected a positive number'),
    "window": ("mistral", {"sliding_window": 7.5}, "sliding_window is 7.5, expected a positive integer or null"),
    "windows": ("smollm3", {"use_sliding_window": True}, "use_sliding_window is true; only false is supported"),
    "no window": ("qwen2", {"layer_types": ["sliding_attention"] * 3}, "but sliding_window is null"),
    "layer types": ("gemma2", {"layer_types": ["full_attention"] * 2}, "layer_types is "),
    "chunks": ("qwen2", {"layer_types": ["chunked_attention"] * 3}, 'expected 3 entries "full_attention" or'),
    "rotated layers": ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers is [1, 0], expected 3 entries 0 or 1"),
}


@pytest.mark.parametrize(("name", "change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_computed_is_refused_by_name(tmp_path: Path, name: str, change: dict, message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[name] | change))
    with pytest.raises(UserError) as error:
        read_config(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / "config.json") in str(error.value)

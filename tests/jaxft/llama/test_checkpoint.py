"""Folders in and out: exact round trips, and one broken example for every message."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxft.errors import UserError
from jaxft.llama.checkpoint import content_hash, load, read_config, save, stored_dtypes
from jaxft.llama.config import LlamaConfig
from jaxft.llama.hf_files import exact_tokenizer
from jaxft.llama.model import Compute
from jaxft.llama.rope import Linear, Rope
from tests.jaxft.llama.small import CONFIGS, random_model, tensors, write_folder

TIED, GROUPED = CONFIGS["tied"], CONFIGS["grouped"]
Q0, EMBED, HEAD = "model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight", "lm_head.weight"


def stored(folder: Path) -> dict[str, np.ndarray]:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def assert_same_bits(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].dtype == value.dtype, name
        assert got[name].shape == value.shape, name
        assert got[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [
        *((variant, "float32") for variant in CONFIGS),
        ("grouped", "bfloat16"),
        ("tied", "bfloat16"),
        ("grouped", "float16"),
    ],
)
def test_round_trip_is_bit_exact(tmp_path: Path, variant: str, dtype: str) -> None:
    values = tensors(CONFIGS[variant], dtype=dtype)
    values["model.norm.weight"][:3] = [0.0, -0.0, np.inf]
    source = write_folder(tmp_path / "source", CONFIGS[variant], values)
    model = load(source, dtype=None)
    assert model.layers.q[...].dtype == dtype
    save(model, tmp_path / "copy")
    assert_same_bits(stored(tmp_path / "copy"), values)
    again = load(tmp_path / "copy", dtype=None)
    assert again.config == model.config == read_config(source)
    for ours, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(again), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert content_hash(source) == content_hash(tmp_path / "copy")
    assert json.loads((tmp_path / "copy/config.json").read_text())["torch_dtype"] == dtype


def test_kernels_are_transposed_and_stacked_by_layer(tmp_path: Path) -> None:
    model, values = random_model(tmp_path), tensors(GROUPED)
    np.testing.assert_array_equal(model.layers.down[...][1], values["model.layers.1.mlp.down_proj.weight"].T)
    np.testing.assert_array_equal(
        model.layers.mlp_norm[...][1], values["model.layers.1.post_attention_layernorm.weight"]
    )
    assert model.head is not None
    np.testing.assert_array_equal(model.head[...], values[HEAD].T)


def test_load_casts_to_float32_unless_told_and_keeps_compute(tmp_path: Path) -> None:
    write_folder(tmp_path, GROUPED, tensors(GROUPED, dtype="bfloat16"))
    model = load(tmp_path, compute=Compute(dtype="bfloat16", scan=False))
    assert {leaf.dtype for leaf in jax.tree.leaves(model)} == {jnp.dtype("float32")}
    assert model.compute == Compute(dtype="bfloat16", scan=False)
    assert load(tmp_path, dtype="float16").embed[...].dtype == "float16"


def test_shards_hold_the_same_model(tmp_path: Path) -> None:
    values = tensors(GROUPED)
    whole = write_folder(tmp_path / "whole", GROUPED, values)
    split = write_folder(tmp_path / "split", GROUPED, values, shards=4)
    assert content_hash(whole) == content_hash(split)
    save(load(split), tmp_path / "copy", max_shard_bytes=20_000)
    files = sorted((tmp_path / "copy").glob("*.safetensors"))
    assert len(files) > 2
    assert all(sum(value.nbytes for value in load_file(path).values()) <= 20_000 for path in files)
    assert_same_bits(stored(tmp_path / "copy"), values)
    index = json.loads((tmp_path / "copy/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in values.values())
    assert content_hash(tmp_path / "copy") == content_hash(whole)


def test_content_hash_sees_every_part(tmp_path: Path) -> None:
    def digest(name: str, config: dict[str, Any], values: dict[str, np.ndarray]) -> str:
        return content_hash(write_folder(tmp_path / name, config, values))

    values = tensors(GROUPED)
    changed = {**values, Q0: np.nextafter(values[Q0], np.float32(9))}
    digests = [
        digest("first", GROUPED, values),
        digest("value", GROUPED, changed),
        digest("config", {**GROUPED, "rope_theta": 5e5}, values),
        digest("dtype", GROUPED, {name: value.astype("float16") for name, value in values.items()}),
    ]
    assert len(set(digests)) == 4
    assert digest("spelling", {**GROUPED, "head_dim": 8, "use_cache": True}, values) == digests[0]


def test_save_carries_tokenizer_template_and_generation_config(tmp_path: Path) -> None:
    model = random_model(tmp_path / "source")
    carried = [
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
        "chat_template.jinja", "generation_config.json",
    ]  # fmt: skip
    for name in [*carried, "README.md", "optimizer.pt"]:
        (tmp_path / "source" / name).write_text('{"eos_token_id": 2}' if name == "generation_config.json" else name)
    read = json.dumps(exact_tokenizer({"pad_token": "</s>"}), indent=2) + "\n"
    (tmp_path / "source" / "tokenizer_config.json").write_text(read)
    save(model, tmp_path / "copy", like=tmp_path / "source")
    assert {p.name for p in (tmp_path / "copy").iterdir()} == {*carried, "config.json", "model.safetensors"}
    assert all((tmp_path / f"copy/{name}").read_text() == (tmp_path / f"source/{name}").read_text() for name in carried)


def test_old_folders_may_store_rotary_frequencies(tmp_path: Path) -> None:
    values = tensors(GROUPED)
    old = {**values, "model.layers.1.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)}
    write_folder(tmp_path, GROUPED, old)
    assert content_hash(tmp_path) == content_hash(write_folder(tmp_path / "new", GROUPED, values))


def test_a_tied_folder_may_repeat_the_embeddings_as_head(tmp_path: Path) -> None:
    values = tensors(TIED)
    write_folder(tmp_path, TIED, {**values, HEAD: values[EMBED].copy()})
    assert load(tmp_path).head is None


@pytest.mark.parametrize(
    ("keys", "theta", "scaling"),
    [
        ({}, 10_000, 1),
        ({"rope_theta": 500}, 500, 1),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, 500, 1),
        ({"rope_theta": 500.0, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, 500, 1),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2}}, 10_000, 2),
        ({"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.5}}, 500, 2.5),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}}, 500, 2),
    ],
)
def test_rope_is_read_in_both_spellings(tmp_path: Path, keys: dict[str, Any], theta: float, scaling: float) -> None:
    config = {key: value for key, value in GROUPED.items() if not key.startswith("rope")}
    (tmp_path / "config.json").write_text(json.dumps({**config, **keys}))
    got = read_config(tmp_path)
    assert got.rope == (Rope(rope_theta=theta) if scaling == 1 else Linear(rope_theta=theta, factor=scaling))


def test_absent_keys_take_the_defaults_of_the_format(tmp_path: Path) -> None:
    config = {key: value for key, value in CONFIGS["multi_head"].items() if not key.endswith("_id")}
    del config["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps({**config, "head_dim": None}))
    assert read_config(tmp_path) == LlamaConfig(
        61, 32, 44, 2, 4, 4, 8, 96, bos_token=1, end_tokens=(2,), tied_head=False
    )


CONFIG_ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"architectures": ["MistralForCausalLM"]}, 'architectures is ["MistralForCausalLM"], expected'),
    "no architecture": ({"architectures": None}, "architectures is null"),
    "attention bias": ({"attention_bias": 1}, "attention_bias is 1, expected true or false"),
    "mlp bias": ({"mlp_bias": "no"}, 'mlp_bias is "no", expected true or false'),
    "activation": ({"hidden_act": "gelu"}, 'hidden_act is "gelu"; only "silu"'),
    "rope type": ({"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}}, 'RoPE type "dynamic"; only'),
    "rope type v5": ({"rope_parameters": {"rope_type": "ntk"}}, 'RoPE type "ntk"; only'),
    "rope object": ({"rope_scaling": 2.0}, "rope_scaling is 2.0, expected an object"),
    "rope factor": ({"rope_scaling": {"type": "linear"}}, "key factor is missing"),
    "rope factor sign": (
        {"rope_scaling": {"type": "linear", "factor": -1}},
        "factor is -1, expected a positive number",
    ),
    "rope partial": ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
    "two ropes": (
        {"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "default"}},
        "differ. Keep one",
    ),
    "two thetas": ({"rope_theta": 1.0, "rope_parameters": {"rope_theta": 2.0}}, "rope_theta is 1.0 and 2.0 inside"),
    "theta type": ({"rope_theta": "big"}, 'rope_theta is "big", expected a positive number'),
    "integer": ({"hidden_size": 32.5}, "hidden_size is 32.5, expected one integer of at least 1"),
    "boolean": ({"num_hidden_layers": True}, "num_hidden_layers is true, expected one integer"),
    "zero": ({"vocab_size": 0}, "vocab_size is 0, expected one integer"),
    "end token": ({"eos_token_id": -1}, "eos_token_id is -1, expected one integer of at least 0 or a list"),
    "end token type": ({"eos_token_id": "</s>"}, 'eos_token_id is "</s>", expected one integer'),
    "end tokens": ({"eos_token_id": [2, True]}, "eos_token_id is [2, true], expected one integer"),
    "tied": ({"tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes", expected true or false'),
    "heads": ({"num_attention_heads": 5}, "hidden_size 32 is no multiple of num_attention_heads 5"),
    "kv heads": ({"num_key_value_heads": 3}, "num_heads 4 is not a multiple of num_kv_heads 3"),
    "odd heads": ({"head_dim": 7}, "head_dim 7 is odd"),
}


@pytest.mark.parametrize(("change", "message"), CONFIG_ERRORS.values(), ids=CONFIG_ERRORS)
def test_configs_that_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIGS["multi_head"], **change}))
    with pytest.raises(UserError) as error:
        read_config(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path / "config.json") in str(error.value)


@pytest.mark.parametrize(
    "key",
    ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
     "max_position_embeddings", "rms_norm_eps"],
)  # fmt: skip
def test_keys_that_must_be_there(tmp_path: Path, key: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in GROUPED.items() if k != key}))
    with pytest.raises(UserError, match=f"key {key} is missing"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "holds a JSON list"),
    ],
)
def test_a_config_that_is_no_json_object(tmp_path: Path, text: bytes | None, message: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(UserError, match=message):
        read_config(tmp_path)


def refused(folder: Path, message: str, *also: str) -> None:
    """`load` and `content_hash` both refuse the folder and say why."""
    for read in (load, content_hash):
        with pytest.raises(UserError) as error:
            read(folder)
        for part in (message, *also):
            assert part in str(error.value)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    values = tensors(GROUPED)
    del values[Q0]
    refused(write_folder(tmp_path, GROUPED, values), f"tensor {Q0} is missing (1 of")


def test_an_untied_folder_needs_a_head(tmp_path: Path) -> None:
    refused(write_folder(tmp_path, GROUPED, tensors(TIED)), f"tensor {HEAD} is missing")


@pytest.mark.parametrize("name", ["model.layers.2.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias"])
def test_an_unknown_tensor_is_named(tmp_path: Path, name: str) -> None:
    values = {**tensors(GROUPED), name: np.ones(32, np.float32)}
    refused(write_folder(tmp_path, GROUPED, values), f"tensor {name} is unknown")


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    values = {**tensors(GROUPED), EMBED: np.ones((62, 32), np.float32)}
    refused(write_folder(tmp_path, GROUPED, values), EMBED, "has shape (62, 32), config.json asks for (61, 32)")


@pytest.mark.parametrize(
    ("dtype", "tag"), [("int8", "I8"), ("int64", "I64"), ("float64", "F64"), ("float8_e4m3fn", "F8_E4M3")]
)
def test_a_dtype_that_is_no_weight_is_named(tmp_path: Path, dtype: str, tag: str) -> None:
    values = tensors(GROUPED)
    refused(write_folder(tmp_path, GROUPED, {**values, Q0: values[Q0].astype(dtype)}), Q0, f"has dtype {tag}")


@pytest.mark.parametrize(
    ("method", "suffix"),
    [
        ("gptq", "self_attn.q_proj.qweight"),
        ("awq", "mlp.up_proj.qzeros"),
        ("bitsandbytes", "mlp.up_proj.weight.absmax"),
        ("fp8", "mlp.up_proj.weight_scale_inv"),
        ("compressed-tensors", "mlp.up_proj.weight_packed"),
    ],
)
def test_quantised_weights_are_refused_by_name(tmp_path: Path, method: str, suffix: str) -> None:
    """By config.json, and by the tensors if config.json does not say so."""
    name = f"model.layers.0.{suffix}"
    values = {**tensors(GROUPED), name: np.zeros((2, 2), "int32")}
    del values[Q0]
    refused(write_folder(tmp_path / "tensors", GROUPED, values), "the weights are quantised (", f"tensor {name})")
    config = {**GROUPED, "quantization_config": {"quant_method": method}}
    folder = write_folder(tmp_path / "config", config, tensors(GROUPED))
    refused(folder, f"config.json: the weights are quantised (quantization_config: {method})")


@pytest.mark.parametrize(("dtype", "bad"), [("float32", np.nan), ("bfloat16", np.inf), ("float16", -np.inf)])
@pytest.mark.parametrize("name", [EMBED, Q0.replace("layers.0", "layers.1"), "model.norm.weight", HEAD])
def test_a_tensor_that_is_not_finite_is_named(tmp_path: Path, name: str, bad: float, dtype: str) -> None:
    values = tensors(GROUPED, dtype=dtype)
    values[name].flat[-1] = bad
    write_folder(tmp_path, GROUPED, values)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: tensor {name} holds NaN or infinity")):
        load(tmp_path)
    assert load(tmp_path, dtype=None).config == read_config(tmp_path)  # bits pass through


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_is_saved_in_the_dtypes_of_its_files(tmp_path: Path, dtype: str) -> None:
    """Norms in float32 and all else in `dtype`, read as float32: the copy has the same bits."""
    values = {name: v if v.ndim == 1 else v.astype(dtype) for name, v in tensors(GROUPED).items()}
    source = write_folder(tmp_path / "source", GROUPED, values)
    save(load(source), tmp_path / "copy", dtypes=stored_dtypes(source))
    assert_same_bits(stored(tmp_path / "copy"), values)
    assert json.loads((tmp_path / "copy" / "config.json").read_text())["torch_dtype"] == dtype


@pytest.mark.parametrize("value", [1e38, -7e4, 65520.0])
def test_a_number_too_large_for_float16_is_refused(tmp_path: Path, value: float) -> None:
    model = random_model(tmp_path / "source")
    model.embed[...] = model.embed[...].at[3, 4].set(value)
    with pytest.raises(UserError, match=f"{EMBED} is too large for float16"):
        save(model, tmp_path / "copy", dtypes={EMBED: "float16"})
    assert not (tmp_path / "copy").exists()


def test_layers_of_several_dtypes_need_one_named(tmp_path: Path) -> None:
    values = tensors(GROUPED)
    write_folder(tmp_path, GROUPED, {**values, Q0: values[Q0].astype("float16")})
    with pytest.raises(UserError, match="have several dtypes"):
        load(tmp_path, dtype=None)
    assert load(tmp_path, dtype="float32").layers.q[...].dtype == "float32"


def test_a_dtype_that_is_not_offered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dtype: found 'int8', expected one of float32, bfloat16, float16"):
        load(tmp_path, dtype="int8")


def test_a_tied_folder_with_another_head(tmp_path: Path) -> None:
    values = tensors(TIED)
    refused(write_folder(tmp_path, TIED, {**values, HEAD: values[EMBED] + 1}), "but tie_word_embeddings is true")


@pytest.mark.parametrize("keep", [0, 4, 300, 4_000, -1])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = write_folder(tmp_path, GROUPED, tensors(GROUPED)) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(tmp_path, f"{path}: not a complete safetensors file", "download it again")


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    path = write_folder(tmp_path, GROUPED, {}) / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(tmp_path, f"{path}: not a complete safetensors file", "Git LFS pointer")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, GROUPED, tensors(GROUPED), shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    refused(tmp_path, "names the file model-00002-of-00003.safetensors, which is not in the folder")


@pytest.mark.parametrize("weight_map", [None, [], {Q0: 1}])
def test_an_index_without_a_map(tmp_path: Path, weight_map: object) -> None:
    write_folder(tmp_path, GROUPED, tensors(GROUPED), shards=2)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    refused(tmp_path, "weight_map is no object of tensor name -> file name")


def test_an_index_may_not_point_outside_the_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, GROUPED, tensors(GROUPED))
    inner = write_folder(tmp_path / "inner", GROUPED, {}, shards=2)
    index = {"weight_map": dict.fromkeys(tensors(GROUPED), "../model.safetensors")}
    (inner / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(inner, "names the file ../model.safetensors, which is not in the folder")


def test_an_index_that_disagrees_with_its_shards(tmp_path: Path) -> None:
    write_folder(tmp_path, GROUPED, tensors(GROUPED), shards=2)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    first, second = sorted(set(index["weight_map"].values()))
    assert index["weight_map"][EMBED] == first
    del index["weight_map"][EMBED]
    path.write_text(json.dumps(index))
    refused(tmp_path, f"tensor {EMBED} is in the file but not in the list")
    path.write_text(json.dumps({"weight_map": {**index["weight_map"], EMBED: second}}))
    refused(tmp_path, EMBED)
    path.write_text(json.dumps({"weight_map": {**index["weight_map"], EMBED: first, "extra": first}}))
    refused(tmp_path, "tensor extra is not in the file but in the list")


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    values = tensors(GROUPED)
    write_folder(tmp_path, GROUPED, values, shards=2)
    second = tmp_path / "model-00002-of-00002.safetensors"
    save_file({**load_file(second), EMBED: values[EMBED]}, second)
    refused(tmp_path, f"{second}: tensor {EMBED} is also in another shard")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth", "a.pt"]
)
def test_pickles_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GROUPED))
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path, f"holds {name} but no model.safetensors", "can run code", "save_pretrained")


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GROUPED))
    refused(tmp_path, "neither model.safetensors nor model.safetensors.index.json is there")


def test_save_overwrites_nothing(tmp_path: Path) -> None:
    model = random_model(tmp_path / "source")
    before = content_hash(tmp_path / "source")
    (tmp_path / "file").write_text("mine")
    for taken in ("source", "file"):
        with pytest.raises(UserError, match="exists and is not an empty folder"):
            save(model, tmp_path / taken)
    assert content_hash(tmp_path / "source") == before
    assert {path.name for path in tmp_path.iterdir()} == {"source", "file"}


def test_save_fills_an_empty_folder_and_makes_parents(tmp_path: Path) -> None:
    model = random_model(tmp_path / "source")
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "empty", tmp_path / "a/b"):
        save(model, target)
        assert content_hash(target) == content_hash(tmp_path / "source")
        assert [path.name for path in target.parent.glob(".*")] == []


def test_save_names_a_missing_tokenizer_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder to take the tokenizer from"):
        save(random_model(tmp_path / "source"), tmp_path / "copy", like=tmp_path / "absent")
    assert not (tmp_path / "copy").exists()


def test_save_refuses_other_dtypes(tmp_path: Path) -> None:
    model = jax.tree.map(lambda leaf: leaf.astype("int8"), random_model(tmp_path / "source"))
    with pytest.raises(UserError, match="parameter embed has dtype int8; expected float32"):
        save(model, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = random_model(tmp_path / "source")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"copy: cannot be written \(.*No space left on device(.|\n)*take [\d,]+ bytes"):
        save(model, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_write_that_stops_halfway_leaves_nothing_behind(tmp_path: Path) -> None:
    model = random_model(tmp_path / "source")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the weights take more
    try:
        with pytest.raises(UserError, match="File too large"):
            save(model, tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


KILLED = """
import os, signal, sys
from jaxft.llama.checkpoint import load, save
calls, sync = 0, os.fsync
def die(file):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    sync(file)
os.fsync = die
save(load(sys.argv[1]), sys.argv[2], max_shard_bytes=20_000)
"""


@pytest.mark.parametrize("shard", [1, 3])
def test_a_killed_save_leaves_nothing_that_looks_complete(tmp_path: Path, shard: int) -> None:
    source, target = tmp_path / "source", tmp_path / "copy"
    model = random_model(source)
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", KILLED, str(source), str(target), str(shard)]
    assert subprocess.run(command, cwd=root, check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    (left,) = tmp_path.glob(".copy.partial-*")
    assert len(list(left.glob("*.safetensors"))) == shard
    with pytest.raises(UserError, match="config.json: no such file"):
        load(left)
    save(model, target)  # what is left is not in the way
    assert content_hash(target) == content_hash(source)

"""Adapters in peft's layout, written and read; where torch and peft are installed, both sides give the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxft.errors import UserError
from jaxft.llama.checkpoint import load
from jaxft.llama.model import Llama, forward
from jaxft.methods.adapters import Decomposed, LowRank, column_norms, merge
from jaxft.methods.base import ALL_LINEARS
from jaxft.methods.peft import adapter_hash, is_adapter, load_adapter, save_adapter
from tests.jaxft.llama.small import CONFIGS, tensors, write_folder

RANK, ALPHA = 3, 7.5


def adapters(model: Llama, targets: tuple[str, ...], scale: float = ALPHA / RANK) -> dict[str, LowRank]:
    """Random A and B, so that the adapters change something."""
    random, found = np.random.RandomState(0), {}
    for name in targets:
        d, n = model.config.linear_shapes[name]
        a, b = (jnp.asarray(random.standard_normal((2, *shape)) / 6, jnp.float32) for shape in ((d, RANK), (RANK, n)))
        found[name] = LowRank(a, b, scale, 0.1)
    return found


def decomposed(model: Llama, targets: tuple[str, ...]) -> dict[str, Decomposed]:
    """DoRA with magnitudes other than those it starts with."""
    random, found = np.random.RandomState(1), {}
    for name, factors in adapters(model, targets).items():
        kernel = getattr(model.layers, name)[...]
        norms = column_norms(kernel)
        found[name] = Decomposed(factors, norms * jnp.asarray(random.uniform(0.5, 2, norms.shape), jnp.float32), kernel)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "base", CONFIGS["grouped"], tensors(CONFIGS["grouped"]))


def test_files_and_shapes(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    ours = adapters(model, ("k", "down"))
    save_adapter(ours, "lora", "some/base", tmp_path / "adapter")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    description = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert description["base_model_name_or_path"] == "some/base"
    assert (description["r"], description["lora_alpha"], description["lora_dropout"]) == (3, 7.5, 0.1)
    assert description["target_modules"] == ["k_proj", "down_proj"]
    got = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    modules = {"k": "self_attn.k_proj", "down": "mlp.down_proj"}
    assert len(got) == 2 * 2 * 2
    for name, module in modules.items():
        for layer in range(2):
            prefix = f"base_model.model.model.layers.{layer}.{module}"
            np.testing.assert_array_equal(got[f"{prefix}.lora_A.weight"], np.asarray(ours[name].a[layer]).T)
            np.testing.assert_array_equal(got[f"{prefix}.lora_B.weight"], np.asarray(ours[name].b[layer]).T)


def test_nothing_is_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    with pytest.raises(UserError, match="adapter: exists already; nothing is overwritten"):
        save_adapter(adapters(load(folder), ("q",)), "lora", "base", tmp_path / "adapter")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]


def test_what_cannot_be_written_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxft.io.save_file", full)
    with pytest.raises(UserError, match="adapter: cannot be written .*No space left"):
        save_adapter(adapters(load(folder), ("q",)), "lora", "base", tmp_path / "adapter")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_dora_is_written_with_its_magnitudes(folder: Path, tmp_path: Path) -> None:
    ours = decomposed(load(folder), ("q",))
    save_adapter(ours, "rslora", "some/base", tmp_path / "adapter")
    description = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert description["use_dora"] and description["use_rslora"]
    assert description["lora_alpha"] / RANK**0.5 == pytest.approx(ALPHA / RANK)
    got = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    for layer in range(2):
        prefix = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        np.testing.assert_array_equal(got[f"{prefix}.lora_magnitude_vector"], ours["q"].magnitude[layer])
    assert len(got) == 2 * 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # peft and transformers disagree
@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("lora", ALL_LINEARS),
        ("lora", ("q", "v")),
        ("rslora", ("q", "down")),
        ("dora", ("k", "down")),
    ],
    ids=["all", "two", "rslora", "dora"],
)
def test_peft_loads_the_adapters_with_equal_logits(
    folder: Path, tmp_path: Path, kind: str, targets: tuple[str, ...]
) -> None:
    torch: Any = pytest.importorskip("torch", reason="peft needs torch: pip install -e '.[parity]'")
    peft: Any = pytest.importorskip("peft", reason="parity with peft: pip install -e '.[parity]'")
    transformers: Any = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    model = load(folder)
    ours = decomposed(model, targets) if kind == "dora" else adapters(model, targets)
    save_adapter(ours, "rslora" if kind == "rslora" else "lora", str(folder), tmp_path / "adapter")
    tokens = np.random.RandomState(1).randint(3, 61, (2, 20))
    positions = np.broadcast_to(np.arange(20), tokens.shape)
    run = jax.jit(lambda model, adapters: forward(model, tokens, positions, np.ones_like(tokens), adapters=adapters))
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reference = peft.PeftModel.from_pretrained(reference, tmp_path / "adapter").eval()
    with torch.no_grad():
        expected = reference(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(run(model, ours), expected, rtol=0, atol=1e-4)
    assert np.abs(expected - run(model, {})).max() > 0.1


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_what_is_written_is_read_back_bit_for_bit(folder: Path, tmp_path: Path, kind: str) -> None:
    model = load(folder)
    ours = decomposed(model, ("k", "down")) if kind == "dora" else adapters(model, ("k", "down"))
    save_adapter(ours, "rslora" if kind == "rslora" else "lora", "base", tmp_path / "adapter")
    assert is_adapter(tmp_path / "adapter") and not is_adapter(folder)
    read = load_adapter(tmp_path / "adapter", model)
    assert read.keys() == ours.keys()
    for mine, its in zip(jax.tree.leaves(ours), jax.tree.leaves(read), strict=True):
        np.testing.assert_array_equal(mine, its)
    factors = read["k"].factors if isinstance(read["k"], Decomposed) else read["k"]
    assert factors.scale == pytest.approx(ALPHA / RANK, rel=1e-15)


def changed(folder: Path, settings: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None) -> Path:
    """An adapter on disk with other settings, and with other tensors; None deletes one."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(settings or {})}))
    held = {**load_file(folder / "adapter_model.safetensors"), **(tensors or {})}
    save_file({name: one for name, one in held.items() if one is not None}, folder / "adapter_model.safetensors")
    return folder


def test_patterns_give_single_modules_their_own_rank_and_alpha(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    save_adapter(adapters(model, ("k", "down")), "lora", "base", tmp_path / "adapter")
    layer, one = "base_model.model.model.layers.1.self_attn.k_proj", np.random.RandomState(2).standard_normal((4, 32))
    other = {f"{layer}.lora_A.weight": one.astype(np.float32), f"{layer}.lora_B.weight": np.ones((16, 4), np.float32)}
    its = {"rank_pattern": {"layers.1.self_attn.k_proj": 4}, "alpha_pattern": {"1.*.k_proj": 2, "down_proj": 6}}
    read = load_adapter(changed(tmp_path / "adapter", its, other), model)
    np.testing.assert_allclose(read["k"].delta()[1], 2 / 4 * one.T @ np.ones((4, 16)), atol=1e-5)
    before = adapters(model, ("k", "down"))
    np.testing.assert_allclose(read["k"].delta()[0], before["k"].delta()[0], atol=1e-6)
    np.testing.assert_allclose(read["down"].delta(), 6 / ALPHA * before["down"].delta(), atol=1e-6)


def test_layers_without_an_adapter_do_not_change(folder: Path, tmp_path: Path) -> None:
    model, layer = load(folder), "base_model.model.model.layers.0.self_attn.q_proj"
    for kind, ours in (("lora", adapters(model, ("q",))), ("dora", decomposed(model, ("q",)))):
        save_adapter(ours, "lora", "base", tmp_path / kind)
        gone = {f"{layer}.{part}": None for part in ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")}
        delta = np.asarray(load_adapter(changed(tmp_path / kind, tensors=gone), model)["q"].delta())
        assert not delta[0].any() and delta[1].any()


@pytest.mark.parametrize(
    ("settings", "tensors", "message"),
    [
        ({"peft_type": "IA3"}, {}, 'peft_type is "IA3"; only "LORA"'),
        ({"peft_type": "ADALORA"}, {}, 'peft_type is "ADALORA"; only "LORA"'),
        ({"bias": "all"}, {}, 'bias is "all"; only "none"'),
        ({"fan_in_fan_out": True}, {}, "fan_in_fan_out is true; only false"),
        ({"modules_to_save": ["lm_head"]}, {}, r'modules_to_save is \["lm_head"\]; only adapters without it'),
        ({"trainable_token_indices": [3]}, {}, "trainable_token_indices"),
        ({"lora_bias": True}, {}, "lora_bias is true"),
        ({"alora_invocation_tokens": [1]}, {}, "alora_invocation_tokens"),
        ({"unheard_of": 1}, {}, "unheard_of is 1; only adapters without it"),
        ({"init_lora_weights": "pissa_niter_4"}, {}, "pissa_niter_4.*changes the base"),
        ({"init_lora_weights": "olora"}, {}, "olora.*changes the base"),
        ({"init_lora_weights": "corda"}, {}, "corda.*changes the base"),
        ({"r": 4}, {}, r"q_proj.lora_A.weight has shape \(3, 32\), expected \(4, 32\)"),
        ({"r": "3"}, {}, "rank '3' and lora_alpha 7.5, expected numbers"),
        (
            {},
            {"base_model.model.lm_head.weight": np.ones(3)},
            "lm_head.weight cannot be merged: only LoRA factors of q_",
        ),
        ({}, {"base_model.model.model.embed_tokens.weight": np.ones(3)}, "embed_tokens.weight cannot be merged"),
        ({}, {"base_model.model.model.layers.0.mlp.experts.lora_A.weight": np.ones(3)}, "experts.*cannot be merged"),
        (
            {},
            {"base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight": np.ones(3)},
            "layer 2, .* has 2 layers",
        ),
        ({}, {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": np.ones((9, 3))}, r"shape \(9, 3\)"),
        (
            {},
            {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": None},
            "layer 0.*found lora_A.weight, ex",
        ),
        ({"use_dora": True}, {}, "expected lora_A.weight, lora_B.weight, lora_magnitude_vector"),
        ({}, {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": np.full((3, 32), np.nan)}, "NaN"),
        ({}, {"base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight": np.full((3, 32), np.inf)}, "infinity"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(
    folder: Path, tmp_path: Path, settings: dict[str, Any], tensors: dict[str, Any], message: str
) -> None:
    model = load(folder)
    save_adapter(adapters(model, ("q",)), "lora", "base", tmp_path / "adapter")
    with pytest.raises(UserError, match=message) as raised:
        load_adapter(changed(tmp_path / "adapter", settings, tensors), model)
    assert str(tmp_path / "adapter") in str(raised.value)


@pytest.mark.parametrize("defect", ["pickle", "missing", "cut", "empty", "no object"])
def test_damaged_folders_are_refused(folder: Path, tmp_path: Path, defect: str) -> None:
    model, adapter = load(folder), tmp_path / "adapter"
    save_adapter(adapters(model, ("q",)), "lora", "base", adapter)
    weights, message = adapter / "adapter_model.safetensors", "holds no adapter_model.safetensors"
    match defect:
        case "pickle":
            weights.rename(adapter / "adapter_model.bin")
            message = "adapter_model.bin, a pickle file"
        case "missing":
            weights.unlink()
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-9])
            message = "not a complete safetensors file"
        case "empty":
            save_file({}, weights)
            message = "holds no adapter"
        case _:
            (adapter / "adapter_config.json").write_text("[]")
            message = "adapter_config.json: holds a JSON list"
    with pytest.raises(UserError, match=message):
        load_adapter(adapter, model)


def test_the_hash_is_that_of_settings_and_weights(folder: Path, tmp_path: Path) -> None:
    for name in "ab":
        save_adapter(adapters(load(folder), ("q",)), "lora", "base", tmp_path / name)
    first = adapter_hash(tmp_path / "a")
    assert adapter_hash(tmp_path / "b") == first
    assert adapter_hash(changed(tmp_path / "b", {"lora_alpha": 1})) != first
    weights = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": np.ones((3, 32), np.float32)}
    assert adapter_hash(changed(tmp_path / "a", tensors=weights)) != first


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # peft and transformers disagree
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "v_proj"], "lora_alpha": 5},
        {"target_modules": "all-linear", "use_rslora": True},
        {"target_modules": ["k_proj", "down_proj"], "use_dora": True, "layers_to_transform": [1]},
        {
            "target_modules": ["q_proj", "up_proj"],
            "rank_pattern": {"up_proj": 6, "layers.1.self_attn.q_proj": 2},
            "alpha_pattern": {"1.*.q_proj": 9},
        },
    ],
    ids=["two", "rslora", "dora", "patterns"],
)
def test_adapters_of_peft_are_read_with_equal_logits(folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    torch: Any = pytest.importorskip("torch", reason="peft needs torch: pip install -e '.[parity]'")
    peft: Any = pytest.importorskip("peft", reason="parity with peft: pip install -e '.[parity]'")
    transformers: Any = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reference = peft.get_peft_model(reference, peft.LoraConfig(r=3, task_type="CAUSAL_LM", **settings)).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            if parameter.requires_grad:
                parameter += torch.randn_like(parameter) / 6
        tokens = np.random.RandomState(1).randint(3, 61, (2, 20))
        expected = reference(torch.tensor(tokens)).logits.numpy()
    reference.save_pretrained(tmp_path / "adapter")
    model = load(folder)
    ours = load_adapter(tmp_path / "adapter", model)
    positions = np.broadcast_to(np.arange(20), tokens.shape)
    run = jax.jit(lambda model, adapters: forward(model, tokens, positions, np.ones_like(tokens), adapters=adapters))
    for got in (run(model, ours), run(merge(model, ours), {})):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    assert np.abs(expected - run(model, {})).max() > 0.1

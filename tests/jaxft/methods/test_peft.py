"""Adapters in peft's layout; where torch and peft are installed, peft loads them and gives our logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxft.errors import UserError
from jaxft.llama.checkpoint import load
from jaxft.llama.model import Llama, forward
from jaxft.methods.adapters import Decomposed, LowRank, column_norms
from jaxft.methods.base import ALL_LINEARS
from jaxft.methods.peft import save_adapter
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

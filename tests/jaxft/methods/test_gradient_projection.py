"""The promise of gradient projection, on a small Llama, in float32: protected directions and their outputs stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import methods
from jaxft.data.batches import batches
from jaxft.llama import checkpoint
from jaxft.llama.capture import run_block
from jaxft.llama.config import INPUT_SPACES, SPACE_OF
from jaxft.llama.model import Llama, embed, forward, layer_slice
from jaxft.methods.adapters import Dense
from jaxft.methods.base import Statistics
from jaxft.sharding import Layout
from jaxft.subspace.basis import stack
from jaxft.subspace.certificate import leak
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step
from tests.jaxft.training.small_run import Batch, base, batch, random_subspaces, rows, subspaces

TRAINING = Training(steps=300, batch_rows=4, row_length=12, warmup=10, weight_decay=0.1)
BOUND = 1e-5


def train(found: Statistics, settings: methods.GradientProjection, steps: int = 300, dtype: str = "float32") -> Any:
    """The change of every linear after AdamW steps on noise, {linear: Dense}."""
    method = settings
    constants = method.constants(found, dtype=dtype)
    state = initial_state(method, TRAINING, base(), constants, jax.random.key(0))
    step, data = make_step(method, TRAINING), batches(rows(count=40), 4, seed=0)
    for number in range(steps):
        state, values = step(state, base(), constants, data[number], 1e-2)
    assert np.isfinite(float(values["loss"]))
    return method, state.trainable


def logits(model: Llama, adapters: Any, b: Batch) -> np.ndarray:
    """Of the real tokens, [tokens, vocabulary]."""
    run = jax.jit(forward)(model, b["tokens"], b["positions"], b["segments"], adapters=adapters)
    return np.asarray(run)[b["segments"] > 0]


def test_nothing_leaks_into_the_protected_directions() -> None:
    """300 steps with weight decay and the moment-weighted decay: |Q^T dW| / |dW| <= 1e-5 in every layer."""
    found = subspaces(base(), batch(rows(count=40, seed=99)), 0.9, two_sided=True)
    method, trained = train(found, methods.GradientProjection((), kfac_strength=0.1, kfac_outputs=True))
    assert set(trained) == set(SPACE_OF)
    worst = 0.0
    for name, adapter in trained.items():
        basis = found.bases[SPACE_OF[name]]
        assert all(0 < rank < basis.width for rank in basis.ranks)
        whole = np.linalg.norm(adapter.change, axis=(1, 2))
        assert (whole > 0.05 * np.linalg.norm(getattr(base().layers, name)[...], axis=(1, 2))).all()
        worst = max(worst, float(leak(basis, adapter.change).max()))
    assert worst <= BOUND
    merged = method.merge(base(), trained)
    for name in ("attention_norm", "mlp_norm"):
        np.testing.assert_array_equal(getattr(merged.layers, name)[...], getattr(base().layers, name)[...])
    for name in ("embed", "norm", "head"):
        np.testing.assert_array_equal(getattr(merged, name)[...], getattr(base(), name)[...])


def inputs_of(b: Batch) -> list[dict[str, np.ndarray]]:
    """What the linears of each layer of the base read, by input space, [tokens, d] in float64."""
    x, found = embed(base(), b["tokens"]), []
    for index in range(base().config.num_layers):
        x, inputs = run_block(base().config, Layout(), layer_slice(base().layers, index), x, b)
        found.append({space: np.asarray(a, np.float64)[b["segments"] > 0] for space, a in inputs.items()})
    return found


def reference_text() -> Batch:
    """Fewer tokens than any space has directions."""
    whole = batch(rows(count=2, seed=95))
    return {name: whole[name] for name in ("tokens", "positions", "segments")}


def spanned(inputs: list[dict[str, np.ndarray]]) -> Statistics:
    """Bases of the directions that these inputs span, from singular values in float64."""
    bases = {}
    for space in INPUT_SPACES:
        decomposed = [np.linalg.svd(layer[space])[1:] for layer in inputs]
        cut = [(v.T, int((s > 1e-6 * s[0]).sum())) for s, v in decomposed]
        bases[space] = stack([v[:, :k] for v, k in cut], [v[:, k:] for v, k in cut])
    return Statistics(bases, {}, {})


def test_outputs_on_inputs_inside_the_protected_space_stay() -> None:
    """300 steps in which everything else is learnt: the logits of what lies inside move by <= 1e-5 relative."""
    reference, other = reference_text(), batch(rows(count=4, seed=98))
    found = spanned(inputs_of(reference))
    assert all(8 < rank <= 16 for basis in found.bases.values() for rank in basis.ranks)
    method, trained = train(found, methods.GradientProjection((), energy=1.0))

    def moved(b: Batch) -> np.ndarray:
        """Of each token's logits, relative to their norm."""
        model, adapters = method.assemble(base(), trained)
        before, after = logits(base(), {}, b), logits(model, adapters, b)
        return np.linalg.norm(after - before, axis=1) / np.linalg.norm(before, axis=1)

    assert moved(reference).max() <= BOUND
    assert np.median(moved(other)) > 0.2


def test_all_of_the_energy_holds_the_reference_inputs_but_for_rounding_of_the_moments() -> None:
    """Bases come from float32 second moments, which square the inputs: a residue of about 1e-5 of them stays free."""
    reference = reference_text()
    found = subspaces(base(), reference, 1.0)
    worst = 0.0
    for layer, inputs in enumerate(inputs_of(reference)):
        for space, x in inputs.items():
            stacked = np.broadcast_to(x.T.astype(np.float32), (base().config.num_layers, *x.T.shape))
            free = np.asarray(found.bases[space].split(jnp.asarray(stacked))[1][layer])
            worst = max(worst, float((np.linalg.norm(free, axis=0) / np.linalg.norm(x, axis=1)).max()))
    assert worst < 3e-5


def test_what_projections_in_bfloat16_leak_is_removed_at_the_end() -> None:
    """Steps whose bases are bfloat16 leak its rounding; the last edit leaves none of it and nearly the same change."""
    found = subspaces(base(), batch(rows(count=40, seed=99)), 0.9)
    settings = methods.GradientProjection((), targets=("q", "down"))
    method, trained = train(found, settings, steps=40, dtype="bfloat16")
    finalized = method.finalize(trained, base(), found)
    for name, adapter in trained.items():
        basis = found.bases[SPACE_OF[name]]
        assert 1e-4 < float(leak(basis, adapter.change).max()) < 3e-2
        assert float(leak(basis, finalized[name].change).max()) < 1e-6
        moved = np.linalg.norm(finalized[name].change - adapter.change) / np.linalg.norm(adapter.change)
        assert moved < 3e-2
    ablation = replace(settings, updates=False)
    assert ablation.finalize(trained, base(), found) is trained  # what it leaked is what it is to show


def test_an_export_leaks_the_rounding_of_its_weights(tmp_path: Path) -> None:
    """W0 + dW is rounded to the weights' dtype: next to nothing of dW in float32, much of a small dW in bfloat16."""
    found, method = random_subspaces(base()), methods.GradientProjection((), targets=("q", "down"))
    random, trained = np.random.RandomState(0), {}
    for name, zero in method.initial(base(), jax.random.key(0), None).items():
        kernel = getattr(base().layers, name)[...]
        noise = found.bases[SPACE_OF[name]].remove(random.standard_normal(zero.change.shape).astype(np.float32))
        trained[name] = Dense(noise * 0.01 * np.linalg.norm(kernel) / np.linalg.norm(noise))  # |dW| / |W| = 1 %
    merged = method.merge(base(), trained)
    worst = {}
    for dtype in ("trained", "float32", "bfloat16"):
        if dtype != "trained":
            checkpoint.save(jax.tree.map(lambda a, d=dtype: a.astype(d), merged), tmp_path / dtype)
            exported = checkpoint.load(tmp_path / dtype)
        leaks = []
        for name, adapter in trained.items():
            exact = adapter.change
            change = exact if dtype == "trained" else getattr(exported.layers, name)[...] - getattr(base().layers, name)
            leaks.append(leak(found.bases[SPACE_OF[name]], change).max())
        worst[dtype] = float(max(leaks))
    assert worst["trained"] < 1e-6 < worst["float32"] < 1e-4
    assert 0.03 < worst["bfloat16"] < 0.5


def test_without_the_last_projection_adam_leaks() -> None:
    found = random_subspaces(base())
    settings = methods.GradientProjection((), updates=False, targets=("q", "down"))
    _, trained = train(found, settings, steps=20)
    for name, adapter in trained.items():
        assert float(leak(found.bases[SPACE_OF[name]], adapter.change).min()) > 0.05


@pytest.mark.parametrize(
    ("decay", "two_sided", "inputs", "outputs"),
    [(0.0, True, False, False), (0.1, False, True, False), (0.1, True, True, True)],
)
def test_constants_hold_what_the_optimizer_reads_and_no_more(
    decay: float, two_sided: bool, inputs: bool, outputs: bool
) -> None:
    found = random_subspaces(base())
    settings = methods.GradientProjection((), kfac_strength=decay, kfac_outputs=two_sided, targets=("o", "up"))
    constants: Any = settings.constants(found)
    spaces = ("attention_output", "mlp_input")
    for name in spaces:
        np.testing.assert_array_equal(constants["bases"].pop(name).vectors, found.bases[name].vectors)
    assert constants["bases"] == {}
    assert set(constants["inputs"]) == (set(spaces) if inputs else set())
    for name in constants["inputs"]:
        np.testing.assert_array_equal(constants["inputs"][name], found.input_moments[name])
    assert set(constants["outputs"]) == ({"o", "up"} if outputs else set())
    for name in constants["outputs"]:
        np.testing.assert_array_equal(constants["outputs"][name], found.output_moments[name])


def test_it_starts_as_the_base() -> None:
    method = methods.GradientProjection((), targets=("o", "up"))
    trainable = method.initial(base(), jax.random.key(0), None)
    assert {name: adapter.change.shape for name, adapter in trainable.items()} == {"o": (2, 32, 32), "up": (2, 32, 44)}
    assert not any(leaf.any() for leaf in jax.tree.leaves(trainable))
    model, adapters = method.assemble(base(), trainable)
    assert model is base() and adapters is trainable

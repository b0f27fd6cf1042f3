"""Drift of hidden states and logits against both models run one after the other, and on a mesh."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxft.llama.config import LlamaConfig
from jaxft.llama.drift import Drift, drift
from jaxft.llama.model import Compute, Llama, block, embed, layer_slice, logits, packed_mask
from jaxft.llama.sharding import parameter_spec
from jaxft.llama.sight import sights
from jaxft.sharding import LAYOUTS, Layout, Sharding, make_mesh, use_mesh

CONFIG = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_layers=3,
    num_heads=8,
    num_kv_heads=8,
    head_dim=4,
    max_positions=64,
    tied_head=False,
)


def model(layout: Layout = Layout(), *, moved: bool = False) -> Llama:
    """Random weights; where `moved`, with another output linear in the last two layers."""
    made = Llama(CONFIG, rngs=nnx.Rngs(0), compute=Compute(layout=layout))
    made.embed.set_value(50 * made.embed[...])  # of order 1, as hidden states are
    if moved:
        noise = jax.random.normal(jax.random.key(1), made.layers.down.shape)
        made.layers.down.set_value(made.layers.down[...] + (0.1 * noise).at[0].set(0))
    if layout != Layout():
        for owner, name, parameter in made.parameters():
            parameter.set_value(jax.sharding.reshard(parameter[...], parameter_spec(layout, owner, name, "hidden")))
    return made


@pytest.fixture(scope="module")
def batches() -> list[dict[str, np.ndarray]]:
    """Two batches with unequal numbers of real tokens."""
    random, found = np.random.RandomState(0), []
    for lengths in ((12, 7, 3, 9, 1, 2, 12, 5), (2, 0, 0, 0, 0, 0, 0, 0)):
        real = np.arange(12) < np.array(lengths)[:, None]
        positions = np.where(real, np.arange(12), 0).astype(np.int32)
        found.append(
            {"tokens": random.randint(0, 64, (8, 12)), "positions": positions, "segments": real.astype(np.int32)}
        )
    return found


@pytest.fixture(scope="module")
def found(batches) -> Drift:
    return drift(model(), model(moved=True), batches)


def test_drift_is_that_of_the_two_models_alone(batches, found) -> None:
    ratios, divergences, entropies, largest = [[] for _ in range(3)], [], [], 0.0
    for batch in batches:
        real = batch["segments"] > 0
        states = []
        for each in (model(), model(moved=True)):
            x, mask = embed(each, jnp.asarray(batch["tokens"])), packed_mask(jnp.asarray(batch["segments"]))
            sight, _ = sights(CONFIG, jnp.asarray(batch["positions"]), mask)
            states.append([])
            for layer in range(3):
                x, _, _ = block(layer_slice(each.layers, layer), CONFIG, Layout(), x, sight)
                states[-1].append(np.asarray(x, np.float64)[real])
            states[-1].append(np.asarray(logits(each, x), np.float64)[real])
        (*old, p), (*new, q) = states
        for layer in range(3):
            ratios[layer] += list(
                np.linalg.norm(new[layer] - old[layer], axis=-1) / np.linalg.norm(old[layer], axis=-1)
            )
        largest = max(largest, np.abs(q - p).max())
        p, q = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (p, q))
        divergences += list((np.exp(p) * (p - q)).sum(-1))
        entropies += list(-(np.exp(p) * p).sum(-1))
    assert len(divergences) == 53
    np.testing.assert_allclose(found.hidden, [np.sqrt(np.square(layer).mean()) for layer in ratios], rtol=1e-5)
    assert found.hidden[0] == 0 < found.hidden[1] < found.hidden[2]
    assert found.logit_kl == pytest.approx(np.mean(divergences), rel=1e-5)
    assert found.relative_drift == pytest.approx(sum(divergences) / sum(entropies), rel=1e-5)
    assert found.logit_max_difference == pytest.approx(largest, rel=1e-5)
    starts = np.cumsum([0, 12, 7, 3, 9, 1, 2, 12, 5])
    np.testing.assert_allclose(found.text_kl, np.add.reduceat(divergences, starts), rtol=1e-4)
    assert found.text_tokens.tolist() == [12, 7, 3, 9, 1, 2, 12, 5, 2]


def test_a_model_does_not_drift_from_itself(batches) -> None:
    same = drift(model(), model(), batches)
    assert same.hidden.tolist() == [0, 0, 0] and same.logit_kl == same.logit_max_difference == same.relative_drift == 0


def test_every_segment_of_a_row_is_a_text(batches) -> None:
    batch = batches[0]
    parts = {**batch, "segments": batch["segments"] * (1 + (np.arange(12) >= 6))}
    whole, cut = drift(model(), model(moved=True), [batch]), drift(model(), model(moved=True), [parts])
    assert cut.text_tokens.tolist() == [6, 6, 6, 1, 3, 6, 3, 1, 2, 6, 6, 5]
    assert cut.text_kl.sum() == pytest.approx(51 * cut.logit_kl, rel=1e-5)
    assert whole.text_kl.shape == (8,)


def test_a_mesh_finds_the_same_drift(batches, found) -> None:
    layout = LAYOUTS["fsdp_tensor"]
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        on_mesh = drift(model(layout), model(layout, moved=True), batches)
    np.testing.assert_allclose(on_mesh.hidden, found.hidden, rtol=1e-5, atol=1e-7)
    assert on_mesh.logit_kl == pytest.approx(found.logit_kl, rel=1e-4)
    assert on_mesh.logit_max_difference == pytest.approx(found.logit_max_difference, rel=1e-4)
    np.testing.assert_allclose(on_mesh.text_kl, found.text_kl, rtol=1e-3)

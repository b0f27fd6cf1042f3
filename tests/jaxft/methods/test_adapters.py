"""Adapters compute what their delta says, and merging writes that delta into the kernels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxft.llama.model import forward
from jaxft.llama.sharding import Dot
from jaxft.methods.adapters import Dense, LowRank, merge
from tests.jaxft.training.small_run import base, batch, rows


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


DOT = Dot(PartitionSpec(None, None), PartitionSpec(None, None))  # no mesh

ADAPTERS = {
    "dense": Dense(0.1 * draw(0, 2, 32, 44)),
    "low_rank": LowRank(draw(1, 2, 32, 3), draw(2, 2, 3, 44), scale=0.2, dropout=0.5),
}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_call_is_the_kernel_plus_delta(kind: str) -> None:
    adapter, x, kernel = ADAPTERS[kind], draw(3, 5, 32), draw(4, 2, 32, 44)
    for layer in range(2):
        one = jax.tree.map(lambda a, layer=layer: a[layer], adapter)
        want = np.asarray(x, np.float64) @ (np.asarray(kernel, np.float64) + np.asarray(adapter.delta()))[layer]
        np.testing.assert_allclose(one(x, kernel[layer], None, DOT), want, atol=1e-4)


def test_a_dense_change_smaller_than_the_rounding_of_the_weights_is_kept() -> None:
    """A bfloat16 kernel of ones would swallow a change of 0.001; kept apart in float32 it moves the sum."""
    adapter, kernel = Dense(jnp.full((64, 1), 1e-3)), jnp.ones((64, 1), jnp.bfloat16)
    assert float(adapter(jnp.ones((1, 64)), kernel, None, DOT)[0, 0]) == pytest.approx(64.064, abs=1e-4)


def test_dropout_needs_a_key_and_keeps_the_mean() -> None:
    adapter = LowRank(draw(1, 32, 3), draw(2, 3, 44), scale=0.2, dropout=0.25)
    x, kernel = draw(3, 1, 32), draw(4, 32, 44)
    calm = adapter(x, kernel, None, DOT)
    many = jax.vmap(lambda key: adapter(x, kernel, key, DOT))(jax.random.split(jax.random.key(0), 4000))
    assert np.abs(many[0] - many[1]).max() > 0.1
    error = np.abs(many.mean(axis=0) - calm)
    assert (error < 5 * many.std(axis=0) / 4000**0.5).all()
    without = LowRank(adapter.a, adapter.b, 0.2)
    np.testing.assert_array_equal(without(x, kernel, jax.random.key(0), DOT), calm)


def test_merged_weights_answer_as_adapters_do_and_the_base_stays() -> None:
    model, b = base(), batch(rows(count=2))
    adapters = {"up": ADAPTERS["dense"], "gate": ADAPTERS["low_rank"]}
    before = np.array(model.layers.up[...])
    inputs = b["tokens"], b["positions"], b["segments"]
    run = jax.jit(lambda model, adapters: forward(model, *inputs, adapters=adapters))
    merged = merge(model, adapters)
    with_adapters, plain = run(model, adapters), run(model, {})
    np.testing.assert_allclose(run(merged, {}), with_adapters, rtol=0, atol=2e-5)
    assert np.abs(with_adapters - plain).max() > 0.1
    np.testing.assert_array_equal(model.layers.up[...], before)
    np.testing.assert_array_equal(merge(model, None).layers.up[...], before)

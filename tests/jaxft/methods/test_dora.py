"""DoRA against its formula in float64, with the norm a constant of the gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from jaxft import methods
from jaxft.llama.model import forward
from jaxft.llama.sharding import Dot
from jaxft.methods.adapters import Decomposed, LowRank
from jaxft.training.config import Training
from tests.jaxft.training.small_run import base, batch, rows

SETTINGS = methods.Dora((), rank=4, alpha=6.0, weight_decay=0.5, targets=("q", "down"))
DOT = Dot(PartitionSpec(None, None), PartitionSpec(None, None))  # no mesh


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def adapter(dropout: float = 0.0) -> tuple[Decomposed, np.ndarray]:
    """A random adapter of two layers [32, 44], and its kernel."""
    a, b, m, kernel = draw(0, 2, 32, 3), draw(1, 2, 3, 44), 1 + draw(2, 2, 44) ** 2, draw(3, 2, 32, 44)
    factors = LowRank(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), 0.7, dropout)
    return Decomposed(factors, jnp.asarray(m, jnp.float32), jnp.asarray(kernel, jnp.float32)), kernel


def formula(found: Decomposed, kernel: np.ndarray) -> np.ndarray:
    """W' = m (W + s A B) / |W + s A B| in float64, one norm an output."""
    a, b, m = (np.asarray(x, np.float64) for x in (found.factors.a, found.factors.b, found.magnitude))
    weight = kernel + found.factors.scale * a @ b
    return m[:, None] * weight / np.sqrt((weight**2).sum(1, keepdims=True))


def test_call_and_delta_are_the_formula() -> None:
    found, kernel = adapter()
    wanted, x = formula(found, kernel), draw(4, 5, 32)
    np.testing.assert_allclose(np.asarray(found.delta()) + kernel, wanted, atol=2e-5)
    for layer in range(2):
        one = jax.tree.map(lambda leaf, layer=layer: leaf[layer], found)
        got = one(jnp.asarray(x, jnp.float32), one.kernel, None, DOT)
        np.testing.assert_allclose(got, x @ wanted[layer], atol=1e-4)


def test_the_gradient_takes_the_norm_for_a_constant() -> None:
    found, kernel = adapter()
    one = jax.tree.map(lambda leaf: leaf[0], found)
    x, weights = jnp.asarray(draw(4, 5, 32), jnp.float32), jnp.asarray(draw(5, 5, 44), jnp.float32)
    got = jax.grad(lambda adapter: (adapter(x, one.kernel, None, DOT) * weights).sum())(one)
    a, b, m = (np.asarray(leaf, np.float64) for leaf in (one.factors.a, one.factors.b, one.magnitude))
    weight = kernel[0] + 0.7 * a @ b
    norm = np.linalg.norm(weight, axis=0)
    upstream = np.asarray(x, np.float64).T @ np.asarray(weights, np.float64)  # of W'
    np.testing.assert_allclose(got.factors.a, 0.7 * (upstream * m / norm) @ b.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got.factors.b, 0.7 * a.T @ (upstream * m / norm), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got.magnitude, (upstream * weight / norm).sum(0), rtol=1e-4, atol=1e-4)


def test_dropout_spares_the_weight() -> None:
    found, _ = adapter(dropout=0.5)
    still = replace(found, factors=replace(found.factors, b=jnp.zeros_like(found.factors.b)))
    one = jax.tree.map(lambda leaf: leaf[0], still)
    x = jnp.asarray(draw(4, 5, 32), jnp.float32)
    np.testing.assert_array_equal(one(x, one.kernel, jax.random.key(0), DOT), one(x, one.kernel, None, DOT))
    one = jax.tree.map(lambda leaf: leaf[0], found)
    assert np.abs(one(x, one.kernel, jax.random.key(0), DOT) - one(x, one.kernel, None, DOT)).max() > 0.1


def test_it_starts_as_the_base_and_merges_into_what_it_computes() -> None:
    method, b = SETTINGS, batch(rows(count=2))
    start: Any = jax.jit(method.initial)(base(), jax.random.key(0), None)
    inputs = b["tokens"], b["positions"], b["segments"]
    run = jax.jit(lambda model, adapters: forward(model, *inputs, adapters=adapters))
    plain = run(base(), {})
    np.testing.assert_allclose(run(*method.assemble(base(), start)), plain, rtol=0, atol=1e-5)
    for name, one in start.items():
        kernel = np.asarray(getattr(base().layers, name)[...], np.float64)
        np.testing.assert_allclose(one.magnitude, np.linalg.norm(kernel, axis=1), rtol=1e-6)
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * draw(6, *leaf.shape).astype(np.float32), start)
    after = run(*method.assemble(base(), moved))
    np.testing.assert_allclose(run(method.merge(base(), moved), {}), after, rtol=0, atol=2e-5)
    assert np.abs(after - plain).max() > 0.1
    sizes = sum(n + 4 * (d + n) for d, n in (base().config.linear_shapes[name] for name in SETTINGS.targets))
    assert method.trained_parameters(moved) == 2 * sizes


def test_weight_decay_spares_the_magnitudes() -> None:
    method: Any = SETTINGS
    found = {name: replace(adapter()[0], kernel=None) for name in SETTINGS.targets}
    optimizer = method.optimizer(Training(), lambda _: 0.1, None, base())
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, found), optimizer.init(found), found)
    for name, update in updates.items():
        np.testing.assert_allclose(update.factors.a, -0.1 * 0.5 * found[name].factors.a, rtol=1e-6)
        np.testing.assert_allclose(update.factors.b, -0.1 * 0.5 * found[name].factors.b, rtol=1e-6)
        assert not update.magnitude.any()

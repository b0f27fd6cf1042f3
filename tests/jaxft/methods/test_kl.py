"""The divergence from the base on reference text: exact, and nothing at the base."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import methods
from jaxft.llama.model import forward
from tests.jaxft.training.small_run import base, batch, rows

KL = methods.KL((), strength=3.0)


def test_the_penalty_is_the_weighted_kl_of_the_models_predictions() -> None:
    random, reference = np.random.RandomState(0), batch(rows(count=3))
    moved = jax.tree.map(lambda a: a + jnp.asarray(0.02 * random.standard_normal(a.shape), a.dtype), base())
    function = jax.jit(jax.value_and_grad(lambda model: KL.penalty(base(), model, reference)))
    run = jax.jit(lambda m: forward(m, reference["tokens"], reference["positions"], reference["segments"]))
    before, after = (np.asarray(run(model), np.float64) for model in (base(), moved))
    p, q = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (before, after))
    want = 3.0 * ((np.exp(p) * (p - q)).sum(-1) * reference["weights"]).sum()
    value, gradient = function(moved)
    assert want > 0.1
    assert float(value) == pytest.approx(want, rel=1e-3)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) > 1e-2
    value, gradient = function(base())
    assert abs(float(value)) < 1e-9
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) < 1e-5

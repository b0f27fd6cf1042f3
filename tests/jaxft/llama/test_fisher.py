"""The diagonal of the Fisher information against the exact one, with every label enumerated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxft.llama.fisher import diagonal_fisher
from jaxft.llama.model import Llama, forward
from jaxft.llama.sharding import parameter_spec
from jaxft.sharding import Sharding, make_mesh, use_mesh
from tests.jaxft.test_sharding import on_preset
from tests.jaxft.training.small_run import base, batch, rows

DRAWS = 3000


def exact(model: Llama, b: dict[str, np.ndarray]) -> Any:
    """Mean over tokens of sum_y p(y) (d log p(y) / dW)^2."""
    real = np.flatnonzero(b["segments"] > 0)

    def log_p(model: Llama) -> jax.Array:
        out = forward(model, b["tokens"], b["positions"], b["segments"])
        return jax.nn.log_softmax(out).reshape(-1, out.shape[-1])[real]

    @jax.jit
    def gradients(model: Llama) -> Any:
        # One by one: with jax 0.10.2 a vmapped backward pass of this model, which is what jacrev does, is wrong.
        count = len(real) * model.config.vocab_size
        return jax.lax.map(lambda i: jax.grad(lambda m: log_p(m).reshape(-1)[i])(model), jnp.arange(count))

    p = np.exp(log_p(model)).reshape(-1)
    return jax.tree.map(lambda g: np.einsum("i,i...->...", p, np.square(g)) / len(real), gradients(model))


def test_the_mean_over_draws_is_the_exact_fisher_information() -> None:
    """The same two rows again and again: every time other labels are drawn."""
    b = batch(rows(count=2, length=6))
    wanted = exact(base(), b)
    found = diagonal_fisher(base(), [{name: np.tile(a, (DRAWS, 1)) for name, a in b.items()}], seed=0)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert mine.dtype == jnp.float32 and theirs.max() > 0
        assert abs(float(mine.sum()) / theirs.sum() - 1) < 0.04
        assert np.corrcoef(np.ravel(mine), np.ravel(theirs))[0, 1] > 0.998


def test_batches_and_seed() -> None:
    b = {name: a for name, a in batch(rows(count=4, length=6)).items() if name != "weights"}
    halves = [{name: a[i : i + 2] for name, a in b.items()} for i in (0, 2)]
    whole, split, other = (diagonal_fisher(base(), x, s) for x, s in (([b], 0), (halves, 0), ([b], 1)))
    for a, c, d in zip(*map(jax.tree.leaves, (whole, split, other)), strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-9)
        assert np.abs(a - d).max() > 0.1 * np.abs(a).max()


def test_a_mesh_gives_the_same() -> None:
    b = [batch(rows(count=8, length=6))]
    wanted = jax.tree.map(np.asarray, diagonal_fisher(on_preset("single"), b, seed=0))
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        model = on_preset("fsdp_tensor")
        found = diagonal_fisher(model, b, seed=0)
        for owner, name, parameter in found.parameters():
            spec = parameter_spec(model.compute.layout, owner, name, "trained")
            assert tuple(jax.typeof(parameter[...]).sharding.spec) == tuple(spec)
        for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-6 * theirs.max())

"""LoRA-Null and CorDA: their decompositions against float64, their exact start, and what stays frozen."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import methods
from jaxft.errors import UserError
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import forward
from jaxft.methods.base import Method
from jaxft.methods.corda import damped
from jaxft.training.config import Training
from tests.jaxft.training.small_run import base, batch, random_subspaces, rows

RANK, SCALE = 3, 2.0
TARGETS = ("k", "down")  # one that is wider than long and one that is longer than wide
KINDS: dict[str, Any] = {"lora_null": methods.LoraNull, "corda": methods.Corda}


@cache
def started(kind: str) -> tuple[Method, dict[str, Any]]:
    method = KINDS[kind]((), rank=RANK, alpha=SCALE * RANK, weight_decay=0.5, targets=TARGETS)
    constants = method.constants(random_subspaces(base()))
    return method, jax.jit(method.initial)(base(), jax.random.key(0), constants)


def null_part(moment: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """U U^T W with the eigenvectors of the smallest eigenvalues."""
    u = np.linalg.eigh(moment)[1][:, :RANK]
    return u @ u.T @ kernel


def least_components(moment: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The paper's form: W_t C = U S V^T for W_t = W^T, and the last components U_r S_r V_r^T C^-1, transposed back."""
    moment = moment + 0.01 * np.diag(moment).mean() * np.eye(len(moment))
    u, s, v = np.linalg.svd(kernel.T @ moment, full_matrices=False)
    return (u[:, -RANK:] * s[-RANK:] @ v[-RANK:] @ np.linalg.inv(moment)).T


PARTS: dict[str, Any] = {"lora_null": null_part, "corda": least_components}


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_the_part_that_reference_inputs_use_least(kind: str) -> None:
    _, adapters = started(kind)
    moments = random_subspaces(base()).input_moments
    for name, adapter in adapters.items():
        for layer in range(2):
            kernel = np.asarray(getattr(base().layers, name)[...][layer], np.float64)
            a, b = (np.asarray(leaf[layer], np.float64) for leaf in (adapter.start.a, adapter.start.b))
            wanted = PARTS[kind](np.asarray(moments[SPACE_OF[name]][layer], np.float64), kernel)
            got = SCALE * a @ b
            assert np.linalg.norm(got - wanted) < 1e-4 * np.linalg.norm(wanted)
            # Both factors have an equal share of the singular values.
            if kind == "lora_null":
                np.testing.assert_allclose(a.T @ a, b @ b.T, atol=1e-4 * np.abs(b @ b.T).max())
            assert np.linalg.matrix_rank(got, tol=1e-5 * np.linalg.norm(got)) == RANK


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_exactly_as_the_base_and_settles_into_what_it_computes(kind: str) -> None:
    method, adapters = started(kind)
    b = batch(rows(count=2))
    run = jax.jit(lambda model, found: forward(model, b["tokens"], b["positions"], b["segments"], adapters=found))
    np.testing.assert_array_equal(run(*method.assemble(base(), adapters)), run(base(), {}))
    random = np.random.RandomState(0)

    def noisy(leaf: Any) -> Any:
        return leaf + 0.1 * random.standard_normal(leaf.shape).astype(np.float32)

    moved = {name: replace(one, factors=jax.tree.map(noisy, one.factors)) for name, one in adapters.items()}
    finalized = method.finalize(moved, base(), random_subspaces(base()))
    before, after = (run(*method.assemble(base(), found)) for found in (moved, finalized))
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5)
    np.testing.assert_allclose(run(method.merge(base(), finalized), {}), before, rtol=0, atol=2e-5)
    assert np.abs(before - run(base(), {})).max() > 0.05
    for name, adapter in finalized.items():
        np.testing.assert_allclose(adapter.delta(), moved[name].delta(), atol=1e-5)
    sizes = sum(RANK * sum(base().config.linear_shapes[name]) for name in TARGETS)
    assert method.trained_parameters(finalized) == 2 * sizes


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_frozen_without_optimizer_state_and_decay_pulls_toward_it(kind: str) -> None:
    method, adapters = started(kind)
    optimizer = method.optimizer(Training(), lambda _: 0.1, None, base())
    state = optimizer.init(adapters)
    moments = [leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(moments) == sum(leaf.size for leaf in jax.tree.leaves(adapters))  # two for each of half of them
    away = {
        name: replace(one, factors=jax.tree.map(lambda leaf: leaf + 1, one.factors)) for name, one in adapters.items()
    }
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, away), state, away)
    for update in updates.values():
        for leaf in jax.tree.leaves(update.factors):
            np.testing.assert_allclose(leaf, -0.1 * 0.5, rtol=1e-4)
        assert not any(leaf.any() for leaf in jax.tree.leaves(update.start))


def test_the_gradient_of_the_start_is_zero() -> None:
    _, adapters = started("corda")
    b = batch(rows(count=2))

    def total(found: Any) -> Any:
        return forward(base(), b["tokens"], b["positions"], b["segments"], adapters=found)[..., 5].sum()

    gradient = jax.jit(jax.grad(total))(adapters)
    for one in gradient.values():
        assert one.factors.a.any() and one.factors.b.any()
        assert not one.start.a.any() and not one.start.b.any()


def test_damping_doubles_until_the_moment_can_be_inverted() -> None:
    random = np.random.RandomState(0)
    x = random.standard_normal((64, 32)).astype(np.float32)
    good = x.T @ x / 64
    np.testing.assert_allclose(damped(jnp.asarray(good)) - good, 0.01 * np.trace(good) / 32 * np.eye(32), atol=1e-6)
    outlier = np.zeros((32, 32), np.float32)
    outlier[0, 0], outlier[1:, 1:] = 1e9, good[1:, 1:]
    grown = np.asarray(damped(jnp.asarray(outlier)), np.float64)
    assert np.linalg.norm(grown.astype(np.float32) @ np.linalg.inv(grown.astype(np.float32)) - np.eye(32)) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_beyond_the_width_is_an_error(kind: str) -> None:
    method = KINDS[kind]((), rank=17, targets=("k",))
    with pytest.raises(
        UserError, match=f"{kind}.rank: found 17, expected at least 1 and at most 16, the width of linear 'k'"
    ):
        method.initial(base(), jax.random.key(0), {})

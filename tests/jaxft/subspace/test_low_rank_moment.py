"""Low rank plus diagonal against float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from jaxft.llama.sharding import linear_spec
from jaxft.sharding import LAYOUTS, Sharding, make_mesh, reshard, use_mesh
from jaxft.subspace.basis import directions
from jaxft.subspace.low_rank_moment import LowRankMoment, factor, is_full, left, place, right, stack_factors

D, N = 7, 4


def moment_of(width: int, seed: int) -> np.ndarray:
    x = np.random.RandomState(seed).standard_normal((12, width)) * np.geomspace(1, 0.05, width)
    return x.T @ x / 12


def moment(seed: int) -> np.ndarray:
    return moment_of(D, seed)


def factored(moments: list[np.ndarray], rank: int, skip: int = 0) -> LowRankMoment:
    parts = []
    for c in moments:
        values, vectors = (np.asarray(a, np.float64) for a in directions(jnp.asarray(c, jnp.float32)))
        parts.append(factor(c, values, vectors, rank, skip))
    return stack_factors(parts)


def whole(metric: LowRankMoment) -> np.ndarray:
    v, values, rest = (np.asarray(a, np.float64) for a in (metric.vectors, metric.values, metric.diagonal))
    return np.einsum("lir,lr,ljr->lij", v, values, v) + np.stack([np.diag(d) for d in rest])


@given(st.integers(0, 50), st.integers(0, D))
def test_diagonal_and_trace_are_kept_and_the_leading_directions_too(seed: int, rank: int) -> None:
    c = moment(seed)
    found = whole(factored([c], rank))[0]
    np.testing.assert_allclose(np.diag(found), np.diag(c), atol=2e-6)
    # What is missing is what is off the diagonal of the weakest directions.
    values, vectors = np.linalg.eigh(c)
    weak = vectors[:, : D - rank] * values[: D - rank] @ vectors[:, : D - rank].T
    np.testing.assert_allclose(c - found, weak - np.diag(np.diag(weak)), atol=5e-6)


@given(st.integers(0, 50))
def test_of_full_rank_it_is_the_moment(seed: int) -> None:
    np.testing.assert_allclose(whole(factored([moment(seed)], D))[0], moment(seed), atol=5e-6)


def test_what_is_skipped_counts_for_nothing() -> None:
    c = moment(3)
    values, vectors = np.linalg.eigh(c)
    q = vectors[:, -2:]
    free = (np.eye(D) - q @ q.T) @ np.random.RandomState(0).standard_normal((D, N))
    found = factored([c], D - 2, skip=2)
    np.testing.assert_allclose(found.left(jnp.asarray(free[None], jnp.float32))[0], c @ free, atol=1e-5)
    assert factored([c], D, skip=2).vectors.shape == (1, D, D)  # padded to the rank asked for


def test_moments_are_whole_where_no_fewer_directions_are_asked_for() -> None:
    assert [rank for rank in range(D + 3) if is_full(rank, D)] == [0, D, D + 1, D + 2]


@pytest.mark.parametrize("rank", [0, 3, D])
def test_products_from_both_sides(rank: int) -> None:
    moments = [moment(1), moment(2)]
    metric, x = factored(moments, rank), np.random.RandomState(4).standard_normal((2, D, N)).astype(np.float32)
    turned = x.swapaxes(1, 2)
    for of, exact in ((metric, whole(metric)), (jnp.asarray(moments, jnp.float32), np.stack(moments))):
        np.testing.assert_allclose(left(of, jnp.asarray(x)), exact @ x, atol=1e-5)
        np.testing.assert_allclose(right(of, jnp.asarray(turned)), turned @ exact, atol=1e-5)


def test_directions_take_the_dtype_of_activations_and_the_sums_stay_float32() -> None:
    metric = place(factored([moment(0)], 3), None, "bfloat16")
    assert metric.vectors.dtype == jnp.bfloat16 and metric.diagonal.dtype == jnp.float32
    x = jnp.asarray(np.random.RandomState(1).standard_normal((1, D, N)), jnp.float32)
    assert metric.left(x).dtype == jnp.float32
    exact = whole(factored([moment(0)], 3))[0] @ np.asarray(x[0])
    assert np.abs(metric.left(x)[0] - exact).max() < 0.02 * np.abs(exact).max()


def test_on_a_mesh_it_is_split_like_the_weights() -> None:
    layout = LAYOUTS["fsdp_tensor"]
    d, n = linear_spec(layout, "q", "trained")
    moments, x = [moment_of(8, 0), moment_of(8, 1)], np.random.RandomState(4).standard_normal((2, 8, 8))
    metric, weights = factored(moments, 3), jnp.asarray(x, jnp.float32)
    wanted = left(metric, weights), right(metric, weights)
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        spread = reshard(weights, PartitionSpec(None, d, n))
        found = jax.jit(left)(place(metric, d, "float32"), spread), jax.jit(right)(place(metric, n, "float32"), spread)
        for mine, one in zip(found, wanted, strict=True):
            assert mine.sharding.spec == spread.sharding.spec
            np.testing.assert_allclose(mine, one, atol=1e-5)

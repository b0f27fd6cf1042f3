"""Protected bases: the algebra of projections, the choice of ranks, and the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from jaxft.errors import UserError
from jaxft.subspace.basis import (
    Basis,
    automatic_rank,
    captured,
    directions,
    load_bases,
    plasticity,
    rank_for_energy,
    save_bases,
    stack,
)

ROUNDING = 2e-6  # of products of unit vectors in float32


def orthonormal(random: np.random.RandomState, d: int) -> np.ndarray:
    return np.linalg.qr(random.standard_normal((d, d)))[0]


def stacked(whole: Sequence[np.ndarray], ranks: Sequence[int]) -> Basis:
    """The first k columns of each layer's [d, d] protected."""
    pairs = list(zip(whole, ranks, strict=True))
    return stack([u[:, :k] for u, k in pairs], [u[:, k:] for u, k in pairs])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Basis, np.ndarray, np.ndarray]:
    """(basis, the projector Q Q^T of each layer in float64, something to project), ranks 0..d, ragged over layers."""
    d, layers = draw(st.sampled_from([1, 3, 8])), draw(st.integers(1, 3))
    ranks = draw(st.lists(st.integers(0, d), min_size=layers, max_size=layers))
    random = np.random.RandomState(draw(st.integers(0, 1000)))
    whole = [orthonormal(random, d) for _ in ranks]
    basis = stacked(whole, ranks)
    projector = np.stack([u[:, :k] @ u[:, :k].T for u, k in zip(whole, ranks, strict=True)])
    return basis, projector, random.standard_normal((layers, d, 4)).astype(np.float32)


@given(cases(), st.floats(0.01, 1.0))
def test_leading_directions_are_the_first_of_each_layer(
    case: tuple[Basis, np.ndarray, np.ndarray], share: float
) -> None:
    basis, _, x = case
    leading, width = basis.leading(share), basis.vectors.shape[-1]
    if basis.complement:
        assert leading is basis
        return
    count = math.ceil(share * width)
    assert leading.ranks == tuple(min(rank, count) for rank in basis.ranks)
    first = np.where(np.arange(width) < count, np.asarray(basis.vectors, np.float64), 0)
    inside = first @ (first.transpose(0, 2, 1) @ x)
    np.testing.assert_allclose(leading.remove(jnp.asarray(x)), x - inside, atol=10 * ROUNDING)


@given(cases())
def test_split_is_the_projection_of_float64(case: tuple[Basis, np.ndarray, np.ndarray]) -> None:
    basis, projector, x = case
    inside, outside = basis.split(jnp.asarray(x))
    np.testing.assert_allclose(inside, projector @ x, atol=10 * ROUNDING)
    np.testing.assert_allclose(outside, x - projector @ x, atol=10 * ROUNDING)


@given(cases())
def test_removing_twice_changes_nothing_and_nothing_is_left_inside(case: tuple[Basis, np.ndarray, np.ndarray]) -> None:
    basis, _, x = case
    once = basis.remove(jnp.asarray(x))
    np.testing.assert_allclose(basis.remove(once), once, atol=10 * ROUNDING)
    np.testing.assert_allclose(basis.split(once)[0], 0, atol=10 * ROUNDING)


@given(cases())
def test_the_smaller_side_is_kept_and_padded_with_zeros(case: tuple[Basis, np.ndarray, np.ndarray]) -> None:
    basis, projector, _ = case
    d = basis.width
    np.testing.assert_allclose(np.trace(projector, axis1=1, axis2=2), basis.ranks, atol=1e-9)
    free = [d - k for k in basis.ranks]
    assert basis.complement == (max(free) < max(basis.ranks))
    columns = free if basis.complement else basis.ranks
    assert basis.vectors.shape == (len(basis.ranks), d, max(*columns, 1))
    for vectors, used in zip(np.asarray(basis.vectors), columns, strict=True):
        assert not vectors[:, used:].any()
        np.testing.assert_allclose(vectors[:, :used].T @ vectors[:, :used], np.eye(used), atol=ROUNDING)


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 100))
def test_both_sides_give_the_same_projection(d: int, rank: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    u, k = orthonormal(random, d), min(rank, d)
    x = jnp.asarray(random.standard_normal((1, d, 3)), jnp.float32)
    direct = Basis(jnp.asarray(u[None, :, :k], jnp.float32), (k,))
    complement = Basis(jnp.asarray(u[None, :, k:], jnp.float32), (k,), complement=True)
    for one, other in zip(direct.split(x), complement.split(x), strict=True):
        np.testing.assert_allclose(one, other, atol=10 * ROUNDING)


def test_remove_keeps_the_dtype_and_works_in_float32() -> None:
    u = orthonormal(np.random.RandomState(0), 64)
    basis = Basis(jnp.asarray(u[None, :, :32], jnp.float32), (32,))
    x = jnp.asarray(np.random.RandomState(1).standard_normal((1, 64, 8)), jnp.bfloat16)
    got = basis.remove(x)
    assert got.dtype == jnp.bfloat16
    assert (got == basis.remove(x.astype(jnp.float32)).astype(jnp.bfloat16)).all()


@pytest.mark.parametrize("d", [1, 5, 64, 200])
def test_directions_are_eigenvectors_orthonormal_to_rounding(d: int) -> None:
    random = np.random.RandomState(d)
    x = random.standard_normal((3 * d, d)) * np.logspace(0, -3, d)  # energies over six decades
    moment = x.T @ x / len(x)
    values, vectors = (np.asarray(a, np.float64) for a in directions(jnp.asarray(moment, jnp.float32)))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(d), atol=ROUNDING)
    assert (np.diff(values) <= 0).all() and (values >= 0).all()
    np.testing.assert_allclose(values, np.linalg.eigvalsh(moment)[::-1], atol=1e-5 * values[0])
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, moment, atol=1e-5 * values[0])


VALUES = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=12).map(np.array)


@given(VALUES, st.floats(1e-3, 1, exclude_max=True))
def test_rank_is_the_smallest_that_captures_the_energy(values: np.ndarray, energy: float) -> None:
    rank = rank_for_energy(values, energy)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    if sums[-1] == 0:
        assert rank == 0
        return
    assert sums[rank] >= energy * sums[-1]
    assert sums[rank - 1] < energy * sums[-1]


@pytest.mark.parametrize(
    ("values", "energy", "rank"),
    [
        ([8, 1, 1], 0.8, 1),  # exactly enough
        ([8, 1, 1], 0.8 + 1e-9, 2),
        ([8, 1, 1], 0, 0),
        ([8, 1, 1], 1, 3),
        ([8, 1, 1e-7], 1, 2),  # below float32 rounding of the largest
        ([0, 0], 0.9, 0),
        ([0, 0], 1, 0),
        ([1, 0, 1], 1, 3),  # not sorted: the first two hold half
        ([0.1] * 10, np.nextafter(1, 0), 10),
        ([0.3, 0.1, 0.2, 0.7, 0.1, 0.9, 0.3, 0.2, 0.6], np.nextafter(1, 0), 9),
    ],
)
def test_rank_for_energy(values: list[float], energy: float, rank: int) -> None:
    assert rank_for_energy(np.array(values), energy) == rank


@pytest.mark.parametrize("energy", [-0.1, 1.01, float("nan")])
def test_an_energy_outside_the_unit_interval_is_an_error(energy: float) -> None:
    with pytest.raises(UserError, match=rf"energy {energy}: .*must lie in \(0, 1\]"):
        rank_for_energy(np.ones(3), energy)


@given(st.integers(1, 10), st.integers(0, 10), st.integers(0, 100))
def test_captured_is_the_share_of_energy_inside(d: int, k: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    x, basis = random.standard_normal((20, d)), orthonormal(random, d)[:, : min(k, d)]
    inside = x @ basis @ basis.T
    assert captured(basis, x.T @ x) == pytest.approx(np.square(inside).sum() / np.square(x).sum(), abs=1e-9)


def test_all_of_no_energy_is_captured() -> None:
    assert captured(np.zeros((3, 1)), np.zeros((3, 3))) == 1.0


@given(st.integers(1, 10), st.integers(1, 5), st.integers(0, 100))
def test_plasticity_is_what_projection_leaves_of_the_gradient(d: int, n: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    vectors, gradient = orthonormal(random, d), random.standard_normal((d, n))
    got = plasticity(vectors, gradient)
    want = []
    for k in range(d + 1):
        q = vectors[:, :k]
        want.append(np.linalg.norm(gradient - q @ q.T @ gradient) / np.linalg.norm(gradient))
    np.testing.assert_allclose(got, want, atol=1e-7)
    assert (np.diff(got) <= 0).all()


@given(st.integers(1, 8), st.floats(0.05, 1), st.floats(0, 1), st.integers(0, 100))
def test_automatic_rank_captures_unless_plasticity_forbids(d: int, capture: float, floor: float, seed: int) -> None:
    random = np.random.RandomState(seed)
    vectors, x = orthonormal(random, d), random.standard_normal((20, d))
    heldout, gradient = x.T @ x, random.standard_normal((d, 2))
    rank = automatic_rank(vectors, heldout, gradient, capture, floor)
    wanted = next(k for k in range(d + 1) if captured(vectors[:, :k], heldout) >= capture - 1e-9)
    left = plasticity(vectors, gradient)
    assert rank <= wanted
    assert left[rank] >= floor
    assert rank == wanted or left[rank + 1] < floor


def test_bases_are_the_same_after_saving(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    whole = [orthonormal(random, 6) for _ in range(3)]
    bases = {"few": stacked(whole, (0, 2, 1)), "many": stacked(whole, (5, 4, 6))}
    assert bases["many"].complement and not bases["few"].complement
    save_bases(bases, tmp_path / "bases.safetensors")
    got = load_bases(tmp_path / "bases.safetensors")
    assert got.keys() == bases.keys()
    for name, basis in bases.items():
        assert (got[name].ranks, got[name].complement) == (basis.ranks, basis.complement)
        np.testing.assert_array_equal(got[name].vectors, basis.vectors)
    assert [path.name for path in tmp_path.iterdir()] == ["bases.safetensors"]


@pytest.mark.parametrize("damage", ["truncated", "noise", "missing", "other"])
def test_a_damaged_file_of_bases_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bases.safetensors"
    save_bases({"space": Basis(jnp.ones((1, 4, 1)) / 2, (1,))}, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "noise":
        path.write_bytes(b"\xff" * 100)
    elif damage == "missing":
        path.unlink()
    else:
        save_file({"space/vectors": np.zeros((1, 4, 1), np.float32)}, path)
    with pytest.raises(UserError, match=r"bases.safetensors: not a readable basis file .*delete it"):
        load_bases(path)

"""Movement against float64, and the cases that are known by hand."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxft.subspace.basis import rank_for_energy
from jaxft.subspace.movement import CHANGED_ABOVE, ENERGIES, Movement, movement, share_of_all

SPACE_OF = {"q": "in", "k": "in", "down": "out"}
SHAPES = {"q": (6, 6), "k": (6, 3), "down": (9, 6)}
LAYERS = 2


def moments_of(random: np.random.RandomState) -> list[dict[str, np.ndarray]]:
    """By layer and space, in float64, with well separated eigenvalues, so that float32 finds the same directions."""
    layers = []
    for _ in range(LAYERS):
        layers.append({})
        for space, d in (("in", 6), ("out", 9)):
            vectors = np.linalg.qr(random.standard_normal((d, d)))[0]
            layers[-1][space] = (vectors * (0.6 ** np.arange(d))) @ vectors.T
    return layers


def moved(
    changes: dict[str, np.ndarray], kernels: dict[str, np.ndarray], moments: list[dict[str, np.ndarray]]
) -> dict[str, Movement]:
    on_device = [{name: jnp.asarray(a, jnp.float32) for name, a in named.items()} for named in (changes, kernels)]
    return movement(on_device[0], on_device[1], moments, SPACE_OF)


@given(st.integers(0, 100), st.integers(1, 3), st.sampled_from([1e-6, 1.0, 1e3]))
def test_every_figure_is_that_of_float64(seed: int, rank: int, size: float) -> None:
    random = np.random.RandomState(seed)
    kernels = {name: random.standard_normal((LAYERS, *shape)) for name, shape in SHAPES.items()}
    changes = {
        name: size * random.standard_normal((LAYERS, d, rank)) @ random.standard_normal((LAYERS, rank, n))
        for name, (d, n) in SHAPES.items()
    }
    moments = moments_of(random)
    for name, found in moved(changes, kernels, moments).items():
        for layer in range(LAYERS):
            change, kernel = changes[name][layer], kernels[name][layer]
            values, vectors = np.linalg.eigh(moments[layer][SPACE_OF[name]])
            norm = np.linalg.norm(change)
            p = np.square(np.linalg.svd(change, compute_uv=False)[:rank]) / norm**2
            assert found.norm[layer] == pytest.approx(norm, rel=1e-5)
            assert found.relative[layer] == pytest.approx(norm / np.linalg.norm(kernel), rel=1e-5)
            assert found.effective_rank[layer] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)
            above = np.abs(change) > CHANGED_ABOVE * np.sqrt(np.square(kernel).mean())
            assert found.changed[layer] == pytest.approx(above.mean(), abs=1e-6)
            for energy, share, part in zip(ENERGIES, found.shares[layer], found.directions[layer], strict=True):
                count = rank_for_energy(values[::-1], energy)
                top = vectors[:, ::-1][:, :count]
                assert share == pytest.approx((np.linalg.norm(top.T @ change) / norm) ** 2, abs=1e-5)
                assert part == count / len(values)


def test_cases_known_by_hand() -> None:
    """Directions of 1/2, 1/4, 1/8, ... of the energy are the coordinates; the change is in the first and the third."""
    energy = {"in": np.diag(0.5 ** np.arange(6)), "out": np.eye(9)}
    change = np.zeros((2, 6, 6))
    change[0, 0, 1], change[0, 2, 4] = 3.0, 3.0
    kernel = np.ones((2, 6, 6))
    kernel[0] = 3000.0  # the change is 1e-3 of it, and so is not above
    found = moved({"q": change}, {"q": kernel}, [energy, energy])["q"]
    assert found.norm.tolist() == pytest.approx([np.sqrt(18), 0])
    assert found.relative.tolist() == pytest.approx([np.sqrt(18) / 18000, 0])
    assert found.effective_rank.tolist() == pytest.approx([2, 0])
    assert found.changed.tolist() == [0, 0]
    # 0.7 of the energy takes two directions, 0.8 the third, too.
    inside = dict(zip(ENERGIES, found.shares[0], strict=True))
    assert [inside[energy] for energy in (0.5, 0.7, 0.8, 0.999)] == pytest.approx([0.5, 0.5, 1, 1])
    assert not found.shares[1].any()


@pytest.mark.parametrize("rank", [1, 8, 200])
def test_the_effective_rank_keeps_three_digits_where_most_singular_values_are_zero(rank: int) -> None:
    random = np.random.RandomState(0)
    change = random.standard_normal((1, 256, rank)) @ random.standard_normal((1, rank, 300))
    p = np.square(np.linalg.svd(change[0], compute_uv=False)[:rank])
    p /= p.sum()
    moments = [{"in": np.eye(256)}]
    as_jax = {"q": jnp.asarray(change, jnp.float32)}
    found = movement(as_jax, as_jax, moments, {"q": "in"})["q"]
    assert found.effective_rank[0] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-3)


def test_shares_of_the_whole_change() -> None:
    random = np.random.RandomState(0)
    moments = moments_of(random)
    changes = {name: random.standard_normal((LAYERS, *shape)) for name, shape in SHAPES.items()}
    changes["k"] *= 10
    found = moved(changes, changes, moments)
    shares, even = share_of_all(found.values())
    for number in range(len(ENERGIES)):
        inside = sum((one.norm**2 * one.shares[:, number]).sum() for one in found.values())
        total = sum(np.square(change).sum() for change in changes.values())
        assert shares[number] == pytest.approx(inside / total, rel=1e-5)
    assert (np.diff(even) >= 0).all() and 0 < even[0] and even[-1] <= 1
    nothing, _ = share_of_all([])
    assert nothing.tolist() == [0] * len(ENERGIES)

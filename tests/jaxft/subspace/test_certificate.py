"""The certificate's figures against float64."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxft.subspace.basis import captured, stack
from jaxft.subspace.certificate import certify, heldout_capture, leak


def bases_of(seed: int, ranks: list[int], d: int = 6):
    """(basis, Q of each layer in float64)."""
    random = np.random.RandomState(seed)
    whole = [np.linalg.qr(random.standard_normal((d, d)))[0] for _ in ranks]
    protected = [u[:, :k] for u, k in zip(whole, ranks, strict=True)]
    return stack(protected, [u[:, k:] for u, k in zip(whole, ranks, strict=True)]), protected


RANKS = st.lists(st.integers(0, 6), min_size=1, max_size=3)


@given(RANKS, st.integers(0, 100))
def test_leak_and_capture_are_those_of_float64(ranks: list[int], seed: int) -> None:
    basis, protected = bases_of(seed, ranks)
    random = np.random.RandomState(seed)
    change, x = random.standard_normal((len(ranks), 6, 3)), random.standard_normal((len(ranks), 20, 6))
    moments = np.einsum("ltd,lte->lde", x, x)
    leaks = [np.linalg.norm(q.T @ w) / np.linalg.norm(w) for q, w in zip(protected, change, strict=True)]
    np.testing.assert_allclose(leak(basis, jnp.asarray(change, jnp.float32)), leaks, atol=5e-6)
    shares = [captured(q, c) for q, c in zip(protected, moments, strict=True)]
    np.testing.assert_allclose(heldout_capture(basis, jnp.asarray(moments, jnp.float32)), shares, atol=5e-6)


@pytest.mark.parametrize("ranks", [[2], [5]], ids=["direct", "complement"])
def test_a_projected_change_leaks_rounding_alone(ranks: list[int]) -> None:
    basis, _ = bases_of(0, ranks)
    change = jnp.asarray(np.random.RandomState(1).standard_normal((1, 6, 50)), jnp.float32)
    assert float(leak(basis, basis.remove(change))[0]) < 1e-6
    assert float(leak(basis, change)[0]) > 0.3
    assert float(leak(basis, jnp.zeros((1, 6, 50)))[0]) == 0


def test_certify_reports_every_layer_and_space() -> None:
    random = np.random.RandomState(0)
    (narrow, q_narrow), (wide, q_wide) = bases_of(0, [1, 2]), bases_of(1, [5, 6], d=8)
    changes = {"q": random.standard_normal((2, 6, 3)), "k": np.zeros((2, 6, 2)), "down": 2 * np.ones((2, 8, 4))}
    kernels = {name: 10 * np.ones_like(change) for name, change in changes.items()}
    heldout = {"in": np.stack([np.eye(6)] * 2), "out": np.stack([np.eye(8)] * 2)}
    as_jax: Any = lambda named: {name: jnp.asarray(a, jnp.float32) for name, a in named.items()}  # noqa: E731
    got = certify(
        as_jax(changes),
        as_jax(kernels),
        {"in": narrow, "out": wide},
        heldout,
        {"q": "in", "k": "in", "down": "out"},
        ["norm"],
    )
    moved = np.sqrt(sum(np.square(change).sum() for change in changes.values()))
    assert got["delta_norm"] == pytest.approx(moved)
    assert got["relative_delta_norm"] == pytest.approx(moved / np.sqrt(100 * sum(c.size for c in changes.values())))
    assert got["unprojected"] == ["norm"]
    assert [(s["space"], s["layer"], s["width"], s["rank"]) for s in got["spaces"]] == [
        ("in", 0, 6, 1),
        ("in", 1, 6, 2),
        ("out", 0, 8, 5),
        ("out", 1, 8, 6),
    ]
    for entry in got["spaces"]:
        protected = (q_narrow if entry["space"] == "in" else q_wide)[entry["layer"]]
        assert entry["captured_heldout"] == pytest.approx(entry["rank"] / entry["width"], abs=1e-6)
        readers = {"in": ("q", "k"), "out": ("down",)}[entry["space"]]
        assert set(entry["leak"]) == set(readers)
        for name in readers:
            change = changes[name][entry["layer"]]
            want = np.linalg.norm(protected.T @ change) / (np.linalg.norm(change) or 1)
            assert entry["leak"][name] == pytest.approx(want, abs=1e-6)

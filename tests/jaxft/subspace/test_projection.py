"""The optax transforms against formulas in float64, and the promises every optax transform keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxft.subspace.basis import Basis, stack
from jaxft.subspace.projection import decay_toward, gradient_projection_adamw, moment_decay, project

L, D, N = 2, 6, 4  # layers, input and output width


def basis(seed: int, ranks: tuple[int, ...] = (2, 4), d: int = D) -> Basis:
    random = np.random.RandomState(seed)
    whole = [np.linalg.qr(random.standard_normal((d, d)))[0] for _ in ranks]
    return stack(
        [u[:, :k] for u, k in zip(whole, ranks, strict=True)], [u[:, k:] for u, k in zip(whole, ranks, strict=True)]
    )


def free(b: Basis, x: np.ndarray) -> np.ndarray:
    """(I - Q Q^T) x in float64."""
    v = np.asarray(b.vectors, np.float64)
    inside = v @ (v.transpose(0, 2, 1) @ x)
    return inside if b.complement else x - inside


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def moment(seed: int, d: int, layers: int = L) -> np.ndarray:
    x = draw(seed, layers, 20, d)
    return np.einsum("ltd,lte->lde", x, x) / 20


def f32(tree: Any) -> Any:
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)


def apply(transform: optax.GradientTransformation, updates: Any, params: Any = None) -> Any:
    return transform.update(updates, transform.init(params if params is not None else updates), params)[0]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 100))
def test_project_removes_the_protected_part(ranks: list[int], n: int, seed: int) -> None:
    b, g = basis(seed, tuple(ranks), d=5), draw(seed, len(ranks), 5, n)
    np.testing.assert_allclose(apply(project(b), jnp.asarray(g, jnp.float32)), free(b, g), atol=1e-5)


def test_project_takes_a_prefix_tree_and_leaves_what_has_no_basis() -> None:
    tree = f32({"a": {"x": draw(0, L, D, 3), "y": draw(1, L, D, 5)}, "b": {"bias": draw(2, 7)}})
    got = apply(project({"a": basis(0), "b": None}), tree)
    for name in ("x", "y"):
        np.testing.assert_allclose(got["a"][name], free(basis(0), np.asarray(tree["a"][name], np.float64)), atol=1e-5)
    assert got["b"]["bias"] is tree["b"]["bias"]
    assert apply(project(None), tree) == tree


@given(st.sampled_from([(1, 1, 1), (1, 5, 3), (3, 2, 6)]), st.booleans(), st.integers(0, 100))
def test_moment_decay_is_the_gradient_of_its_quadratic_form(
    shape: tuple[int, int, int], two_sided: bool, seed: int
) -> None:
    """One-sided: strength / 2 E|x dW|^2. Two-sided: strength / 2 tr(dW^T C dW S), K-FAC's form of the KL."""
    layers, d, n = shape
    x, s = jnp.asarray(draw(seed, layers, 9, d), jnp.float32), f32(moment(seed + 1, n, layers))
    c = jnp.einsum("ltd,lte->lde", x, x) / 9

    def penalty(change: jax.Array) -> jax.Array:
        moved = jnp.einsum("ltd,ldn->ltn", x, change) / 3
        return 0.7 / 2 * (jnp.einsum("ltn,lnm,ltm->", moved, s, moved) if two_sided else jnp.square(moved).sum())

    change, g = jnp.asarray(draw(seed + 2, layers, d, n), jnp.float32), jnp.asarray(draw(seed + 3, layers, d, n))
    got = apply(moment_decay(0.7, c, s if two_sided else None), g, change)
    np.testing.assert_allclose(got - g, jax.grad(penalty)(change), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("two_sided", [False, True])
def test_decay_of_weights_toward_the_base_is_decay_of_the_change(two_sided: bool) -> None:
    base, change, g = f32({"q": draw(0, L, D, N)}), f32({"q": draw(1, L, D, N)}), f32({"q": draw(2, L, D, N)})
    weights = jax.tree.map(jnp.add, base, change)
    c, s = f32({"q": moment(3, D)}), f32({"q": moment(4, N)}) if two_sided else None
    for of_weights, of_change in (
        (moment_decay(0.3, c, s, base), moment_decay(0.3, c, s)),
        (decay_toward(0.3, base), decay_toward(0.3, None)),
    ):
        got, want = apply(of_weights, g, weights)["q"], apply(of_change, g, change)["q"]
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert np.abs(got - g["q"]).max() > 0.1
    np.testing.assert_allclose(apply(decay_toward(0.3, base), g, weights)["q"], g["q"] + 0.3 * change["q"], atol=1e-5)


@pytest.mark.parametrize("gradients", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("updates", [True, False])
@pytest.mark.parametrize("toward", [True, False], ids=["weights", "changes"])
def test_gradient_projection_adamw_is_its_formula(gradients: float, updates: bool, toward: bool) -> None:
    """Five steps against float64: decay, projection, clipping, Adam, weight decay, learning rate, projection."""
    b, c, s, w0 = basis(0), moment(1, D), moment(2, N), draw(3, L, D, N)
    start = w0 if toward else np.zeros_like(w0)
    transform = gradient_projection_adamw(
        lambda count: 0.1 / (1 + count),
        {"q": b},
        decay=moment_decay(0.5, f32({"q": c}), f32({"q": s}), f32({"q": w0}) if toward else None),
        gradient_bases={"q": b.leading(gradients) if gradients else None},
        updates=updates,
        clip=2.0,
        b1=0.8,
        b2=0.95,
        eps=1e-6,
        weight_decay=0.3,
        base=f32({"q": w0}) if toward else None,
    )
    params = f32({"q": start})
    state = transform.init(params)
    change, m, v = np.zeros_like(w0), np.zeros_like(w0), np.zeros_like(w0)
    for t in range(5):
        raw = draw(10 + t, L, D, N)
        update, state = transform.update(f32({"q": raw}), state, params)
        params = optax.apply_updates(params, update)

        g = raw + 0.5 * np.einsum("lde,len,lnm->ldm", c, change, s)
        strongest = np.asarray(b.vectors, np.float64)[..., : round(4 * gradients)]  # of four directions
        g = g - strongest @ (strongest.transpose(0, 2, 1) @ g)
        g = g * min(1, 2.0 / np.linalg.norm(g))
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        u = (m / (1 - 0.8 ** (t + 1))) / (np.sqrt(v / (1 - 0.95 ** (t + 1))) + 1e-6) + 0.3 * change
        u = -0.1 / (1 + t) * u
        change = change + (free(b, u) if updates else u)
    np.testing.assert_allclose(params["q"], start + change, atol=2e-5)  # pyright: ignore[reportIndexIssue]
    leaked = np.linalg.norm(change - free(b, change)) / np.linalg.norm(change)
    assert leaked < 1e-6 if updates else leaked > 0.05  # Adam leaves the subspace that its gradients are in


TRANSFORMS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "project": lambda: project({"q": basis(0), "norm": None}),
    "moment_decay": lambda: moment_decay(
        0.1, f32({"q": moment(0, D), "norm": moment(1, D)}), f32({"q": moment(2, N), "norm": moment(3, 1)})
    ),
    "adamw": lambda: gradient_projection_adamw(1e-2, {"q": basis(0), "norm": None}, weight_decay=0.1, clip=1.0),
}


def tree(seed: int, dtype: str = "float32") -> dict[str, jax.Array]:
    return {"q": jnp.asarray(draw(seed, L, D, N), dtype), "norm": jnp.asarray(draw(seed + 1, L, D, 1), dtype)}


@pytest.mark.parametrize("name", TRANSFORMS)
class TestOptaxContract:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_dtypes_and_state_are_stable_under_jit(self, name: str, dtype: str) -> None:
        transform, params = TRANSFORMS[name](), tree(0, dtype)
        state = transform.init(params)
        described = jax.tree.map(lambda a: (a.shape, a.dtype), state)
        update = jax.jit(transform.update)
        for seed in (1, 2):
            updates, state = update(tree(seed, dtype), state, params)
            assert jax.tree.map(lambda a: (a.shape, a.dtype), updates) == jax.tree.map(
                lambda a: (a.shape, a.dtype), params
            )
            assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == described
        assert update._cache_size() == 1

    def test_jit_changes_nothing(self, name: str) -> None:
        transform, params, g = TRANSFORMS[name](), tree(0), tree(1)
        state = transform.init(params)
        got, want = jax.jit(transform.update)(g, state, params)[0], transform.update(g, state, params)[0]
        for leaf, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(leaf, expected, atol=1e-6)

    def test_multi_steps_applies_the_mean_once(self, name: str) -> None:
        params, parts = tree(0), [tree(seed) for seed in (1, 2, 3)]
        multi = optax.MultiSteps(TRANSFORMS[name](), every_k_schedule=3)
        state, total = multi.init(params), jax.tree.map(jnp.zeros_like, params)
        for part in parts:
            updates, state = multi.update(part, state, params)
            total = jax.tree.map(jnp.add, total, updates)
        mean = jax.tree.map(lambda *a: sum(a) / 3, *parts)
        want = apply(TRANSFORMS[name](), mean, params)
        for leaf, expected in zip(jax.tree.leaves(total), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(leaf, expected, atol=1e-5)


def test_the_learning_rate_can_be_injected() -> None:
    """As a traced hyperparameter; whether there is weight decay is decided when the transform is built."""
    bases = {"q": basis(0), "norm": None}
    inject = optax.inject_hyperparams(gradient_projection_adamw, static_args=("bases", "weight_decay", "clip"))
    transform: Any = inject(learning_rate=1e-2, bases=bases, weight_decay=0.1)
    params, g = tree(0), tree(1)
    state = transform.init(params)
    state.hyperparams["learning_rate"] = jnp.asarray(3e-2)
    got = jax.jit(transform.update)(g, state, params)[0]
    want = apply(gradient_projection_adamw(3e-2, bases, weight_decay=0.1), g, params)
    for leaf, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(leaf, expected, atol=1e-6)


def test_moment_decay_takes_a_prefix_tree() -> None:
    c = f32(moment(0, D))
    g, change = f32({"a": draw(1, L, D, 3), "b": draw(2, L, D, 5)}), f32({"a": draw(3, L, D, 3), "b": draw(4, L, D, 5)})
    got = apply(moment_decay(1.0, {"space": c}), {"space": g}, {"space": change})["space"]
    for name in g:
        np.testing.assert_allclose(got[name], g[name] + np.einsum("lde,len->ldn", c, change[name]), atol=1e-4)


@pytest.mark.parametrize("transform", [moment_decay(1.0, jnp.ones((1, 2, 2))), decay_toward(1.0, None)])
def test_decay_without_parameters_is_an_error(transform: optax.GradientTransformation) -> None:
    with pytest.raises(ValueError, match="needs the current parameters"):
        apply(transform, jnp.ones((1, 2, 3)))

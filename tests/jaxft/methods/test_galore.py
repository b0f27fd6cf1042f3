"""GaLore against numpy in float64, and against optax's own where the two agree: on square weights."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxft import methods
from jaxft.errors import UserError
from jaxft.llama.config import SPACE_OF
from jaxft.methods.galore import scale_by_galore
from tests.jaxft.methods.adam64 import gradients
from tests.jaxft.training.small_run import TRAINING, base

SETTINGS = methods.Galore((), rank=3, gap=2, scale=0.25)
B1, B2 = 0.8, 0.97


@pytest.fixture(scope="module")
def steps() -> list[tuple[Any, Any, dict[str, np.ndarray]]]:
    """(gradient, rescaled gradient, projectors) of every step."""
    transform = scale_by_galore(optax.scale_by_adam(B1, B2), rank=3, gap=2, scale=0.25)
    names = [path[-2].name for path, _ in jax.tree_util.tree_leaves_with_path(base())]
    state, update, found = transform.init(base()), jax.jit(transform.update), []
    for gradient in gradients(base()):
        updates, state = update(gradient, state)
        found.append((gradient, updates, dict(zip(names, map(np.asarray, state.projectors), strict=True))))
    return found


def adam(moments: dict[str, np.ndarray], g: np.ndarray, number: int) -> np.ndarray:
    """Adam's rescaling in float64; moments are kept from step to step."""
    moments["m"] = B1 * moments.get("m", 0.0) + (1 - B1) * g
    moments["v"] = B2 * moments.get("v", 0.0) + (1 - B2) * g * g
    return moments["m"] / (1 - B1**number) / (np.sqrt(moments["v"] / (1 - B2**number)) + 1e-8)


@pytest.mark.parametrize("name", SPACE_OF)
def test_linears_are_rescaled_in_the_leading_directions_of_their_narrower_side(steps: Any, name: str) -> None:
    for layer in range(2):
        moments: dict[str, np.ndarray] = {}
        for number, (gradient, updates, projectors) in enumerate(steps):
            g = np.asarray(getattr(gradient.layers, name)[...], np.float64)[layer]
            left, p = g.shape[0] <= g.shape[1], np.asarray(projectors[name][layer], np.float64)
            if number % SETTINGS.gap == 0:  # up to signs
                u, _, vt = np.linalg.svd(g, full_matrices=False)
                q = u[:, :3] if left else vt[:3].T
                np.testing.assert_allclose(p @ p.T, q @ q.T, atol=1e-5)
                np.testing.assert_allclose(np.abs((p * q).sum(axis=0)), 1, atol=1e-5)
            low = adam(moments, p.T @ g if left else g @ p, number + 1)
            want = 0.25 * (p @ low if left else low @ p.T)
            np.testing.assert_allclose(getattr(updates.layers, name)[layer], want, atol=1e-5)


def test_square_linears_are_what_optax_makes_of_each_layer(steps: Any) -> None:
    for layer in range(2):
        optaxs = optax.contrib.scale_by_galore(3, 2, 0.25, optax.scale_by_adam(B1, B2))
        state = optaxs.init(base().layers.o[layer])
        for gradient, updates, _ in steps:
            want, state = optaxs.update(gradient.layers.o[layer], state)
            np.testing.assert_allclose(updates.layers.o[layer], want, atol=1e-5)


def test_all_else_is_adam(steps: Any) -> None:
    for name in ("embed", "norm", "head"):
        moments: dict[str, np.ndarray] = {}
        for number, (gradient, updates, _) in enumerate(steps):
            want = adam(moments, np.asarray(getattr(gradient, name)[...], np.float64), number + 1)
            np.testing.assert_allclose(getattr(updates, name)[...], want, atol=1e-5)


def test_the_state_of_a_linear_is_small() -> None:
    transform = SETTINGS.optimizer(TRAINING, lambda count: 1e-3, None, base())
    state = jax.eval_shape(transform.init, base())
    sizes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert (2, 32, 32) not in sizes and (2, 32, 44) not in sizes
    assert {(2, 32, 3), (2, 16, 3), (2, 3, 32), (2, 3, 44), (2, 44, 3)} >= {shape for shape in sizes if 3 in shape}


def test_a_rank_beyond_the_width_is_an_error() -> None:
    with pytest.raises(
        UserError, match="galore.rank: found 17, expected at most 16, the width of the narrowest linear"
    ):
        methods.Galore((), rank=17).optimizer(TRAINING, lambda count: 1e-3, None, base())

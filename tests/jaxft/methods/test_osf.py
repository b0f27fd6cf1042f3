"""OSF: changes orthogonal to the weights' leading singular directions on both sides, through the real optimizer."""

from __future__ import annotations

import numpy as np
import pytest

from jaxft import methods
from jaxft.methods.adapters import Dense
from jaxft.methods.base import Statistics
from tests.jaxft.methods.adam64 import Leaves, adamw64, assert_equal, trained
from tests.jaxft.training.small_run import base

SETTINGS = methods.Osf((), keep=0.4, targets=("down", "q", "up"))  # taller, square, wider; in the order of the leaves


def free_projectors(name: str) -> tuple[np.ndarray, np.ndarray]:
    """I - U U^T [L, d, d] and I - V V^T [L, n, n] of the leading directions, from float64."""
    u, _, vt = np.linalg.svd(np.asarray(getattr(base().layers, name)[...], np.float64), full_matrices=False)
    k = int(0.4 * u.shape[2])
    u, v = u[:, :, :k], vt[:, :k].transpose(0, 2, 1)
    return tuple(np.eye(a.shape[1]) - a @ a.transpose(0, 2, 1) for a in (u, v))


def test_it_is_adamw_between_two_projections_of_both_sides() -> None:
    start, found = trained(SETTINGS, Statistics(base=base()))
    sides = [free_projectors(name) for name in SETTINGS.targets]

    def projected(found: Leaves, weights: Leaves) -> Leaves:
        del weights
        return [left @ x @ right for x, (left, right) in zip(found, sides, strict=True)]

    assert_equal(found, adamw64(start, projected, projected), start)
    for name, (left, right) in zip(SETTINGS.targets, sides, strict=True):
        change = np.asarray(found[name].change, np.float64)
        assert np.linalg.norm(change - left @ change @ right) < 1e-5 * np.linalg.norm(change)


def test_what_the_steps_leak_is_removed_at_the_end() -> None:
    method, random = SETTINGS, np.random.RandomState(0)
    change = {name: random.standard_normal((2, *base().config.linear_shapes[name])) for name in SETTINGS.targets}
    trainable = {name: Dense(a.astype(np.float32)) for name, a in change.items()}  # pyright: ignore
    finalized = method.finalize(trainable, base(), Statistics(base=base()))
    for name, a in change.items():
        left, right = free_projectors(name)
        np.testing.assert_allclose(finalized[name].change, left @ a @ right, atol=1e-5)


@pytest.mark.parametrize(("keep", "kept"), [(0.01, 1), (0.5, 16), (0.99, 31)])
def test_the_number_of_kept_directions(keep: float, kept: int) -> None:
    assert methods.Osf((), keep=keep).kept(44, 32) == kept

"""AdamW in numpy float64, and the weights that a method's own optimizer makes of the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

from jaxft.methods.base import Method, Statistics
from jaxft.training.config import Training
from jaxft.training.step import schedule
from tests.jaxft.training.small_run import base

TRAINING = Training(steps=10, warmup=1, weight_decay=0.1, beta1=0.8, beta2=0.97, clip=2.0)
RATE, STEPS = 1e-2, 4
Leaves = list[np.ndarray]
Edit = Callable[[Leaves, Leaves], Leaves]  # (leaves, weights) -> leaves


def leaves(tree: Any) -> Leaves:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def gradients(like: Any) -> list[Any]:
    """Of each step, random; longer than the clip."""
    random = np.random.RandomState(3)
    return [jax.tree.map(lambda a: random.standard_normal(a.shape).astype(np.float32), like) for _ in range(STEPS)]


def trained(method: Method, given: Statistics) -> tuple[Any, Any]:
    """(before the first step, after the last one) by the method's own optimizer."""
    constants = method.constants(given)
    start = params = method.initial(base(), jax.random.key(0), constants)
    init = method.optimizer(TRAINING, schedule(TRAINING, RATE), constants, base()).init
    state = jax.jit(init)(params)

    @jax.jit
    def step(gradient: Any, state: Any, params: Any, constants: Any, model: Any) -> Any:
        transform = method.optimizer(TRAINING, schedule(TRAINING, RATE), constants, model)
        updates, state = transform.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    for gradient in gradients(params):
        params, state = step(gradient, state, params, constants, base())
    return start, params


def unchanged(found: Leaves, weights: Leaves) -> Leaves:
    del weights
    return found


def adamw64(start: Any, of_gradients: Edit = unchanged, of_updates: Edit = unchanged) -> Leaves:
    """The weights after all steps: gradients edited, clipped by their norm, Adam, weight decay, updates edited."""
    weights, rate = leaves(start), schedule(TRAINING, RATE)
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for number, gradient in enumerate(gradients(start)):
        found = of_gradients(leaves(gradient), weights)
        norm = np.sqrt(sum(np.square(g).sum() for g in found))
        found = [g * min(1.0, TRAINING.clip / norm) for g in found]
        m = [TRAINING.beta1 * a + (1 - TRAINING.beta1) * g for a, g in zip(m, found, strict=True)]
        v = [TRAINING.beta2 * a + (1 - TRAINING.beta2) * g * g for a, g in zip(v, found, strict=True)]
        first, second = (1 - beta ** (number + 1) for beta in (TRAINING.beta1, TRAINING.beta2))
        steps = [a / first / (np.sqrt(b / second) + 1e-8) for a, b in zip(m, v, strict=True)]
        updates = [-float(rate(number)) * (s + TRAINING.weight_decay * w) for s, w in zip(steps, weights, strict=True)]
        weights = [w + u for w, u in zip(weights, of_updates(updates, weights), strict=True)]
    return weights


def assert_equal(found: Any, wanted: Leaves, start: Any) -> None:
    """Changes equal to rounding of the weights, and something changed."""
    for a, b in zip(leaves(found), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-6)
    assert max(np.abs(b - c).max() for b, c in zip(wanted, leaves(start), strict=True)) > RATE / 2


def pulled(strength: float, importance: Sequence[Any], center: Any) -> Edit:
    """g + strength F (W - W0)."""
    centers = leaves(center)

    def edit(found: Leaves, weights: Leaves) -> Leaves:
        return [g + strength * f * (w - c) for g, f, w, c in zip(found, importance, weights, centers, strict=True)]

    return edit

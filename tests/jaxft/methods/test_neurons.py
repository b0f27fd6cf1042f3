"""Which neurons may change, and that no other does, alone and together with projection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import methods
from jaxft.llama.config import SPACE_OF
from jaxft.methods.neurons import chosen_neurons
from jaxft.subspace.basis import stack
from tests.jaxft.methods.adam64 import Leaves, adamw64, assert_equal, trained
from tests.jaxft.training.small_run import base, random_subspaces

By = Literal["importance", "similarity"]
BYS: tuple[By, By] = ("importance", "similarity")


def masks(by: By, share: float, kernel: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """[L, 1, n] from the definition, by eigenvectors."""
    found = np.zeros((kernel.shape[0], 1, kernel.shape[2]))
    for layer, (w, c) in enumerate(zip(kernel.astype(np.float64), moment.astype(np.float64), strict=True)):
        values, vectors = np.linalg.eigh(c)
        along = vectors.T @ w  # [directions, neurons]
        if by == "similarity":
            along /= np.linalg.norm(w, axis=0)
        scores = values @ along**2
        found[layer, 0, np.argsort(scores)[: max(1, round(share * len(scores)))]] = 1
    return found


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("by", BYS)
def test_the_neurons_with_the_lowest_scores_are_chosen(by: By, share: float) -> None:
    random = np.random.RandomState(0)
    kernel = (random.standard_normal((2, 12, 20)) * np.exp(random.standard_normal(20))).astype(np.float32)
    x = (random.standard_normal((2, 50, 12)) * np.exp(random.standard_normal(12))).astype(np.float32)
    moment = np.einsum("ltd,lte->lde", x, x) / 50
    found = chosen_neurons(methods.Neurons(share, by), jnp.asarray(kernel), jnp.asarray(moment))
    np.testing.assert_array_equal(found, masks(by, share, kernel, moment))
    energies = np.square(x @ kernel).mean(axis=1)
    if by == "importance" and share < 1:
        for layer in range(2):
            inside = found[layer, 0] > 0
            assert energies[layer, inside].max() < energies[layer, ~inside].min()


def test_a_neuron_without_weights_comes_first() -> None:
    kernel = jnp.asarray(np.random.RandomState(0).standard_normal((1, 4, 3)), jnp.float32).at[:, :, 1].set(0)
    for by in BYS:
        found = chosen_neurons(methods.Neurons(0.1, by), kernel, jnp.eye(4)[None])
        np.testing.assert_array_equal(found[0, 0], [0, 1, 0])


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("protects", [False, True])
def test_adamw_on_the_chosen_columns(protects: bool, decay: float) -> None:
    """Alone (no direction is protected) and with projection; with a two-sided decay, which mixes columns."""
    given = random_subspaces(base())
    if not protects:
        whole = {s: [np.eye(b.width)] * 2 for s, b in given.bases.items()}
        given = replace(given, bases={s: stack([a[0][:, :0]] * 2, a) for s, a in whole.items()})
    targets = ("down", "q")
    neurons = methods.Neurons(0.3, "similarity")
    settings = methods.GradientProjection((), targets=targets, neurons=neurons, kfac_strength=decay, kfac_outputs=True)
    start, found = trained(settings, given)
    free: list[Any] = []
    chosen: list[np.ndarray] = []
    for name in targets:
        space, kernel = SPACE_OF[name], np.asarray(getattr(base().layers, name)[...])
        identity = np.stack([np.eye(kernel.shape[1], dtype=np.float32)] * 2)
        free.append(np.asarray(given.bases[space].remove(jnp.asarray(identity)), np.float64))
        chosen.append(masks("similarity", 0.3, kernel, given.input_moments[space]))

    def of_gradients(found: Leaves, weights: Leaves) -> Leaves:
        pulls = [
            decay * given.input_moments[SPACE_OF[name]].astype(np.float64) @ w @ given.output_moments[name]
            for name, w in zip(targets, weights, strict=True)
        ]
        return of_updates([g + pull for g, pull in zip(found, pulls, strict=True)], weights)

    def of_updates(found: Leaves, weights: Leaves) -> Leaves:
        del weights
        return [p @ (mask * x) for p, mask, x in zip(free, chosen, found, strict=True)]

    assert_equal(found, adamw64(start, of_gradients, of_updates), start)
    for name, mask in zip(targets, chosen, strict=True):
        still = np.broadcast_to(mask == 0, found[name].change.shape)
        assert not np.asarray(found[name].change)[still].any()

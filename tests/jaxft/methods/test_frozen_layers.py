"""Frozen layers keep their weights to the bit; the others are trained as if they were all there is."""

from __future__ import annotations

import jax
import numpy as np

from jaxft import methods
from jaxft.methods.base import Statistics
from tests.jaxft.methods.adam64 import Leaves, adamw64, assert_equal, trained
from tests.jaxft.training.small_run import base


def test_frozen_layers_stay_and_the_others_are_adamw() -> None:
    start, found = trained(methods.FrozenLayers((), layers=(1, 1)), Statistics())
    for name in ("q", "down", "attention_norm"):
        old, new = (np.asarray(getattr(model.layers, name)[...]) for model in (base(), found))
        np.testing.assert_array_equal(new[1], old[1])
        assert np.abs(new[0] - old[0]).max() > 1e-3
    in_layers = jax.tree.leaves(jax.tree.map_with_path(lambda path, _: "layers" in jax.tree_util.keystr(path), start))
    assert sum(in_layers) == 9

    def masked(found: Leaves, weights: Leaves) -> Leaves:
        del weights
        whole = [a.copy() for a in found]
        for a, layered in zip(whole, in_layers, strict=True):
            a[1 if layered else slice(0)] = 0
        return whole

    assert_equal(found, adamw64(start, masked, masked), start)

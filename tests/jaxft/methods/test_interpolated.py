"""Interpolation with the base, of all parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import methods
from jaxft.methods.base import Statistics
from tests.jaxft.training.small_run import base


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_all_parameters_lie_between_the_base_and_the_trained(weight: float) -> None:
    random = np.random.RandomState(0)
    trained = jax.tree.map(lambda a: jnp.asarray(random.standard_normal(a.shape), jnp.bfloat16), base())
    finalized = methods.Interpolated((), weight=weight).finalize(trained, base(), Statistics())
    for w, w0, found in zip(*map(jax.tree.leaves, (trained, base(), finalized)), strict=True):
        old, new = np.asarray(w0, np.float64), np.asarray(w, np.float64)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, old + weight * (new - old), atol=1e-6)

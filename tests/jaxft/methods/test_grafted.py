"""A graft keeps the weights that changed most, over all parameters, and no others."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxft import methods
from jaxft.methods.base import Statistics
from tests.jaxft.training.small_run import base


@settings(max_examples=8, deadline=None)
@given(share=st.floats(1e-4, 1.0), seed=st.integers(0, 1000))
def test_the_largest_changes_of_all_parameters_stay(share: float, seed: int) -> None:
    random = np.random.RandomState(seed)
    trained = jax.tree.map(lambda a: a + jnp.asarray(random.standard_normal(a.shape), a.dtype), base())
    finalized = methods.Grafted((), share=share).finalize(trained, base(), Statistics())
    old, new, found = (np.concatenate([np.ravel(a) for a in jax.tree.leaves(m)]) for m in (base(), trained, finalized))
    moved = np.abs(new - old)
    kept = moved >= np.sort(moved)[-max(1, round(share * moved.size))]
    np.testing.assert_array_equal(found, np.where(kept, new, old))
    assert kept.sum() == pytest.approx(share * moved.size, abs=20)  # ties in float32


def test_what_never_moved_needs_no_graft() -> None:
    finalized = methods.Grafted((), share=0.5).finalize(base(), base(), Statistics())
    for a, b in zip(jax.tree.leaves(finalized), jax.tree.leaves(base()), strict=True):
        np.testing.assert_array_equal(a, b)

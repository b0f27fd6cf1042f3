"""Properties of all methods: equality, kinds, and when they read reference text."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import methods
from jaxft.data.source import Source
from tests.jaxft.training.small_run import METHODS, base

SAFE: Any = {"unaligned": "folder", "safe_sources": (Source("safety"),)}
KINDS: dict[type, dict[str, Any]] = {
    methods.Full: {},
    methods.Lora: {},
    methods.Dora: {},
    methods.LoraNull: {},
    methods.Corda: {},
    methods.SafeLora: {"unaligned": "folder"},
    methods.SafeMerge: SAFE,
    methods.NullSpaceLora: {},
    methods.GradientProjection: {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_entries_that_differ_in_learning_rates_alone_are_one_method(kind: type) -> None:
    one, other = (kind(rates, **KINDS[kind]) for rates in ((1e-3,), (1e-2, 1e-1)))
    assert one == other and hash(one) == hash(other)


@pytest.mark.parametrize("kind", [*KINDS, *(type(one) for one in METHODS.values())])
def test_every_method_has_a_kind_of_its_own_and_is_exported(kind: type[methods.Method]) -> None:
    assert kind.__name__ in methods.__all__
    same = [name for name in methods.__all__ if getattr(getattr(methods, name), "kind", "") == kind.kind]
    assert same == [kind.__name__]
    assert kind.__module__.endswith(f".{kind.kind}")  # one method, one file


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (methods.Full(()), "none"),
        (methods.L2SP(()), "none"),
        (methods.EWC(()), "before training"),
        (methods.KL(()), "while training"),
        (methods.Interpolated(()), "none"),
        (methods.Grafted(()), "none"),
        (methods.FrozenLayers((), layers=(0, 1)), "none"),
        (methods.Galore(()), "none"),
        (methods.Osf(()), "none"),
        (methods.Lora(()), "none"),
        (methods.Dora(()), "none"),
        (methods.SafeLora((), unaligned="folder"), "none"),
        (methods.LoraNull(()), "before training"),
        (methods.Corda(()), "before training"),
        (methods.NullSpaceLora(()), "before training"),
        (methods.GradientProjection(()), "before training"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_when_methods_read_reference_text(settings: methods.Method, reference: str) -> None:
    assert settings.reference == reference


def test_entries_that_differ_otherwise_are_not() -> None:
    assert methods.Lora((), rank=4) != methods.Lora((), rank=8)
    assert methods.GradientProjection(()) != methods.GradientProjection((), updates=False)


def test_full_trains_a_float32_copy_of_everything() -> None:
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), base())
    trainable = methods.Full(()).initial(half, jax.random.key(0), None)
    for leaf, of_base in zip(jax.tree.leaves(trainable), jax.tree.leaves(half), strict=True):
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, of_base.astype(jnp.float32))
    copy = methods.Full(()).initial(base(), jax.random.key(0), None)
    pairs = zip(jax.tree.leaves(copy), jax.tree.leaves(base()), strict=True)
    assert not any(a.unsafe_buffer_pointer() == b.unsafe_buffer_pointer() for a, b in pairs)  # the step donates it

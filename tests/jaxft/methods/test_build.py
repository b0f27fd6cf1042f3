"""Config entries become methods, and equal entries equal methods."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import config, methods
from jaxft.methods.corda import Corda
from jaxft.methods.dora import Dora
from jaxft.methods.full import Full
from jaxft.methods.gradient_projection import GradientProjection
from jaxft.methods.lora import Lora
from jaxft.methods.lora_null import LoraNull
from jaxft.methods.null_space_lora import NullSpaceLora
from jaxft.methods.safe_lora import SafeLora
from jaxft.methods.safe_merge import SafeMerge
from tests.jaxft.training.small_run import base

SAFE: Any = {"unaligned": "folder", "safe_sources": (config.Source("safety"),)}
KINDS: dict[type, tuple[Any, dict[str, Any]]] = {
    Full: (config.Full, {}),
    Lora: (config.Lora, {}),
    Dora: (config.Dora, {}),
    LoraNull: (config.LoraNull, {}),
    Corda: (config.Corda, {}),
    SafeLora: (config.SafeLora, {"unaligned": "folder"}),
    SafeMerge: (config.SafeMerge, SAFE),
    NullSpaceLora: (config.NullSpaceLora, {}),
    GradientProjection: (config.GradientProjection, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_entries_that_differ_in_learning_rates_alone_are_one_method(kind: type) -> None:
    settings, required = KINDS[kind]
    one, other = (methods.build(settings(rates, **required)) for rates in ((1e-3,), (1e-2, 1e-1)))
    assert type(one) is kind
    assert one == other and hash(one) == hash(other)


def test_what_methods_read() -> None:
    found = {kind: methods.build(settings((), **required)) for kind, (settings, required) in KINDS.items()}
    readers = {kind for kind, method in found.items() if method.reference == "before training"}
    assert readers == {LoraNull, Corda, NullSpaceLora, GradientProjection}
    assert {kind for kind, method in found.items() if "unaligned" in method.needs} == {SafeLora, SafeMerge}


def test_entries_that_differ_otherwise_are_not() -> None:
    assert methods.build(config.Lora((), rank=4)) != methods.build(config.Lora((), rank=8))
    assert methods.build(config.GradientProjection(())) != methods.build(config.GradientProjection((), updates=False))


def test_full_trains_a_float32_copy_of_everything() -> None:
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), base())
    trainable = methods.build(config.Full(())).initial(half, jax.random.key(0), None)
    for leaf, of_base in zip(jax.tree.leaves(trainable), jax.tree.leaves(half), strict=True):
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, of_base.astype(jnp.float32))
    copy = methods.build(config.Full(())).initial(base(), jax.random.key(0), None)
    pairs = zip(jax.tree.leaves(copy), jax.tree.leaves(base()), strict=True)
    assert not any(a.unsafe_buffer_pointer() == b.unsafe_buffer_pointer() for a, b in pairs)  # the step donates it

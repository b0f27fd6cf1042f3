"""Config entries become methods, and equal entries equal methods."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import method_config, methods
from jaxft.data.source import Source
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

SAFE: Any = {"unaligned": "folder", "safe_sources": (Source("safety"),)}
KINDS: dict[type, tuple[Any, dict[str, Any]]] = {
    Full: (method_config.Full, {}),
    Lora: (method_config.Lora, {}),
    Dora: (method_config.Dora, {}),
    LoraNull: (method_config.LoraNull, {}),
    Corda: (method_config.Corda, {}),
    SafeLora: (method_config.SafeLora, {"unaligned": "folder"}),
    SafeMerge: (method_config.SafeMerge, SAFE),
    NullSpaceLora: (method_config.NullSpaceLora, {}),
    GradientProjection: (method_config.GradientProjection, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_entries_that_differ_in_learning_rates_alone_are_one_method(kind: type) -> None:
    settings, required = KINDS[kind]
    one, other = (methods.build(settings(rates, **required)) for rates in ((1e-3,), (1e-2, 1e-1)))
    assert type(one) is kind
    assert one == other and hash(one) == hash(other)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (method_config.Full(()), "none"),
        (method_config.L2SP(()), "none"),
        (method_config.EWC(()), "before training"),
        (method_config.KL(()), "while training"),
        (method_config.Interpolated(()), "none"),
        (method_config.Grafted(()), "none"),
        (method_config.FrozenLayers((), layers=(0, 1)), "none"),
        (method_config.Galore(()), "none"),
        (method_config.Osf(()), "none"),
        (method_config.Lora(()), "none"),
        (method_config.Dora(()), "none"),
        (method_config.SafeLora((), unaligned="folder"), "none"),
        (method_config.LoraNull(()), "before training"),
        (method_config.Corda(()), "before training"),
        (method_config.NullSpaceLora(()), "before training"),
        (method_config.GradientProjection(()), "before training"),
        (method_config.Auto(), "before training"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_when_methods_read_reference_text(settings: method_config.Method, reference: str) -> None:
    assert methods.build(settings).reference == reference


def test_entries_that_differ_otherwise_are_not() -> None:
    assert methods.build(method_config.Lora((), rank=4)) != methods.build(method_config.Lora((), rank=8))
    assert methods.build(method_config.GradientProjection(())) != methods.build(
        method_config.GradientProjection((), updates=False)
    )


def test_full_trains_a_float32_copy_of_everything() -> None:
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), base())
    trainable = methods.build(method_config.Full(())).initial(half, jax.random.key(0), None)
    for leaf, of_base in zip(jax.tree.leaves(trainable), jax.tree.leaves(half), strict=True):
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, of_base.astype(jnp.float32))
    copy = methods.build(method_config.Full(())).initial(base(), jax.random.key(0), None)
    pairs = zip(jax.tree.leaves(copy), jax.tree.leaves(base()), strict=True)
    assert not any(a.unsafe_buffer_pointer() == b.unsafe_buffer_pointer() for a, b in pairs)  # the step donates it

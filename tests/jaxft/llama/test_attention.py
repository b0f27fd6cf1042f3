"""The attention kernels: which one runs, that both compute the same, that no segment sees another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxft.errors import UserError
from jaxft.llama import attention
from jaxft.llama.attention import attend, choose_attention, packed_mask, splash
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Compute, Llama, forward
from jaxft.sharding import LAYOUTS, Layout, Sharding, make_mesh, use_mesh

WIDE = LlamaConfig(
    vocab_size=32,
    hidden_size=16,
    intermediate_size=16,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=128,
    max_positions=256,
)
LENGTH = 256


def segments(*rows: tuple[int, ...]) -> np.ndarray:
    """Rows packed with segments of these lengths, padding behind."""
    made = [np.repeat(np.arange(1, len(lengths) + 1), lengths) for lengths in rows]
    return np.stack([np.pad(row, (0, LENGTH - len(row))) for row in made]).astype(np.int32)


def draw(batch: int, heads: int, kv_heads: int, dtype: str = "float32") -> list[jax.Array]:
    """q, k, v, and a weight for every result."""
    random = np.random.RandomState(0)
    counts = (heads, kv_heads, kv_heads, heads)
    return [jnp.asarray(random.standard_normal((batch, LENGTH, n, 128)), dtype) for n in counts]


def differentiate(kernel: Callable[..., jax.Array]) -> Any:
    """Jitted (q, k, v, weight, segments) -> (result, gradients of the weighted sum)."""

    def both(q: jax.Array, k: jax.Array, v: jax.Array, weight: jax.Array, ids: jax.Array) -> Any:
        result, pull = jax.vjp(lambda q, k, v: kernel(q, k, v, ids), q, k, v)
        return result, pull(weight)

    return jax.jit(both)


def reference(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array) -> jax.Array:
    return attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), packed_mask(ids), Layout())


def interpreted(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array, layout: Layout = Layout()) -> jax.Array:
    return splash(q, k.swapaxes(1, 2), v.swapaxes(1, 2), ids, layout, interpret=True)


def of_jax(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array) -> jax.Array:
    return jax.nn.dot_product_attention(q, k, v, mask=packed_mask(ids))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("pair", [(interpreted, reference), (reference, of_jax)], ids=["splash", "reference"])
def test_kernels_agree(pair: tuple[Callable[..., jax.Array], ...], dtype: str, tolerance: float) -> None:
    """Result and gradients on packed rows with padding, two query heads to each key-value head."""
    inputs, ids = draw(2, 4, 2, dtype), segments((100, 100, 30), (256,))
    got, want = (differentiate(kernel)(*inputs, ids) for kernel in pair)
    for mine, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert mine.dtype == dtype
        theirs = np.asarray(theirs, np.float32)
        np.testing.assert_allclose(np.asarray(mine, np.float32), theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def test_splash_on_a_mesh_is_the_reference() -> None:
    """Each device computes its own rows and heads: fsdp 4 x tensor 2, one key-value head a device."""
    layout, ids = LAYOUTS["fsdp_tensor"], segments((100, 100, 30), (256,), (1, 127, 128), (60, 196))
    inputs = draw(4, 4, 2)
    want = differentiate(reference)(*inputs, ids)
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        split = [jax.sharding.reshard(a, layout.spec("batch", None, "tensor", None)) for a in inputs]
        got = differentiate(partial(interpreted, layout=layout))(*split, jax.sharding.reshard(ids, layout.rows))
        assert got[0].sharding.spec == split[0].sharding.spec
    for mine, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Llama]:
    """A model of head width 128 for a kernel, splash being interpreted."""
    monkeypatch.setattr(attention, "splash", partial(splash, interpret=True))
    return lambda kernel: Llama(WIDE, rngs=nnx.Rngs(0), compute=Compute(attention=kernel, remat="full"))


def logits(model: Llama, tokens: np.ndarray, ids: np.ndarray) -> np.ndarray:
    starts = np.maximum.accumulate(np.where(np.diff(ids, prepend=0, axis=1) != 0, np.arange(ids.shape[1]), 0), axis=1)
    positions = (np.arange(ids.shape[1]) - starts).astype(np.int32)
    return np.asarray(jax.jit(forward)(model, tokens, positions, ids))


def test_no_segment_sees_another_nor_the_future(wide: Callable[[str], Llama]) -> None:
    """Every kernel, through the whole model; and both kernels give the same logits."""
    ids = segments((100, 100, 30))
    tokens = np.random.RandomState(0).randint(0, 32, (1, LENGTH)).astype(np.int32)
    other = tokens.copy()
    other[0, 150] = (tokens[0, 150] + 1) % 32
    found = {}
    for kernel in ("reference", "splash"):
        found[kernel] = logits(wide(kernel), tokens, ids)
        moved = np.abs(logits(wide(kernel), other, ids) - found[kernel]).max(axis=-1)[0]
        assert np.flatnonzero(moved).tolist() == list(range(150, 200)), kernel
    size = found["reference"].std()
    np.testing.assert_allclose(found["splash"], found["reference"], rtol=0, atol=1e-4 * size)


@pytest.mark.parametrize(("length", "takes"), [(256, True), (200, False)])
def test_rows_that_do_not_suit_splash_take_the_reference(
    wide: Callable[[str], Llama], monkeypatch: pytest.MonkeyPatch, length: int, takes: bool
) -> None:
    called = []
    monkeypatch.setattr(attention, "splash", lambda q, *rest: called.append(1) or q)
    ids = segments((200,))[:, :length]
    jax.eval_shape(lambda model: forward(model, np.zeros_like(ids), ids, ids), wide("splash"))  # traced anew
    assert bool(called) == takes


@pytest.mark.parametrize(
    ("requested", "platform", "head_dim", "chosen"),
    [
        ("auto", "tpu", 128, "splash"),
        ("auto", "tpu", 64, "reference"),
        ("auto", "gpu", 128, "reference"),
        ("auto", "cpu", 128, "reference"),
        ("reference", "tpu", 128, "reference"),
        ("splash", "tpu", 128, "splash"),
    ],
)
def test_choice(requested: str, platform: str, head_dim: int, chosen: str) -> None:
    assert choose_attention(requested, platform, replace(WIDE, head_dim=head_dim)) == chosen


@pytest.mark.parametrize(
    ("requested", "platform", "head_dim", "message"),
    [
        ("cudnn", "gpu", 128, "attention: found 'cudnn', expected one of auto, reference, splash"),
        ("splash", "gpu", 128, r"needs a TPU \(found gpu\)"),
        ("splash", "tpu", 64, r"a multiple of 128 \(found 64\)"),
    ],
)
def test_a_choice_that_cannot_be_is_an_error(requested: str, platform: str, head_dim: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_attention(requested, platform, replace(WIDE, head_dim=head_dim))

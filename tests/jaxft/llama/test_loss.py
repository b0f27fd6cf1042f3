"""The loss whose logits are made a few tokens at a time: the same numbers, less memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from jaxft.llama.loss import chunked_loss_sum, token_losses
from jaxft.llama.model import Llama, logits
from jaxft.methods.full import Full
from jaxft.sharding import LAYOUTS, Layout, Sharding, make_mesh, shard_rows, use_mesh
from jaxft.training.step import loss_sum
from tests.jaxft.test_sharding import SMALL, model
from tests.jaxft.training.small_run import base, batch, rows

LENGTH = 12


def function(targets: Any, weights: Any, chunk: int) -> Any:
    """Jitted (model, x) -> (loss, its gradients): final norm, head and loss alone, chunked or whole (0)."""

    def loss(model: Llama, x: jax.Array) -> jax.Array:
        if chunk:
            return chunked_loss_sum(model, x, targets, weights, chunk)
        return token_losses(logits(model, x), targets, weights).sum()

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))


def draw(count: int, length: int = LENGTH, width: int = SMALL.hidden_size) -> dict[str, np.ndarray]:
    x = np.random.RandomState(0).standard_normal((count, length, width)).astype(np.float32)
    drawn = batch(rows(count, length))
    return {"x": x, "targets": drawn["targets"], "weights": drawn["weights"]}


def assert_close(got: Any, want: Any) -> None:
    assert float(got[0]) == pytest.approx(float(want[0]), rel=1e-6)
    for leaf, expected in zip(jax.tree.leaves(got[1]), jax.tree.leaves(want[1]), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("chunk", [4, 5, 1, 100])
def test_loss_and_gradients_do_not_depend_on_the_chunk(chunk: int) -> None:
    """Chunks that divide the row of 12 tokens, that do not, and that are longer."""
    of, b = model(Layout()), draw(4)
    x, targets, weights = b["x"], b["targets"], b["weights"]
    assert_close(function(targets, weights, chunk)(of, x), function(targets, weights, 0)(of, x))


@pytest.mark.parametrize("preset", ["fsdp_tensor", "multislice"])
def test_nor_do_they_on_a_mesh(preset: str) -> None:
    b, layout = draw(8), LAYOUTS[preset]
    want = function(b["targets"], b["weights"], 0)(model(Layout()), b["x"])
    with use_mesh(make_mesh(Sharding(preset))):
        put = shard_rows(b, layout)
        assert_close(function(put["targets"], put["weights"], 5)(model(layout), put["x"]), want)


def test_the_chunk_reaches_the_loss_of_a_batch() -> None:
    """Through the whole model: the same loss, and no array of all tokens' logits."""
    b = batch(rows(count=4))

    def loss(model: Llama, chunk: int) -> jax.Array:
        return loss_sum(Full(), model, base(), b, None, chunk)

    assert float(loss(base(), 5)) == pytest.approx(float(loss(base(), 0)), rel=1e-6)
    vocabulary = base().config.vocab_size
    for chunk, made in ((0, f"f32[4,{LENGTH},{vocabulary}]"), (5, f"f32[4,5,{vocabulary}]")):
        text = str(jax.make_jaxpr(lambda model, chunk=chunk: loss(model, chunk))(base()))
        assert made in text
        assert (f"f32[4,{LENGTH},{vocabulary}]" in text) == (chunk == 0)


def test_the_logits_of_a_whole_row_are_never_in_memory() -> None:
    """Neither they nor their gradients: the compiler's own account of what value and gradients need."""
    of, b = Llama(replace(SMALL, vocab_size=8192, num_layers=1), rngs=nnx.Rngs(0)), draw(2, length=128)

    def scratch(chunk: int) -> float:
        compiled = function(b["targets"], b["weights"], chunk).lower(of, b["x"]).compile()
        return compiled.memory_analysis().temp_size_in_bytes / (4 * 2 * 128 * 8192)  # of float32 [B, T, V]

    found = scratch(0), scratch(16)
    assert found[0] > 1
    assert found[1] < 0.5

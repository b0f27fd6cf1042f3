"""The diagonal of a Llama's Fisher information on reference text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxft.llama.model import Llama, hidden, logits
from jaxft.sharding import reshard_like, select


def diagonal_fisher(model: Llama, batches: Iterable[Mapping[str, Any]], seed: int) -> Llama:
    """F = E[(d -log p(y | x) / dW)^2] of every parameter, the mean over tokens x, y drawn from the model itself.

    The Fisher information proper, not the empirical one, whose labels are the text's own (Kunstner et al. 2019,
    arXiv:1905.12558). Estimated from one draw for every token and one backward pass for every packed row: labels of
    different tokens are drawn independently, so the mean square of a row's summed gradient is the sum of its tokens'.

    batches: packed rows with "tokens", "positions", "segments" [B, T] (0 = padding, not counted).
    Returns float32 in the shape of the model, split like trained weights. On a mesh, all devices that share the shards
    of a parameter compute the same row.
    """
    total = jax.tree.map(lambda a: jnp.zeros(a.shape, jnp.float32, device=a.sharding), model).placed("trained")
    tokens, key, first = 0, jax.random.key(seed), 0
    for batch in batches:
        total = jax.block_until_ready(_add(total, model, dict(batch), key, first))
        tokens, first = tokens + int((batch["segments"] > 0).sum()), first + len(batch["segments"])
    return jax.tree.map(lambda a: a / tokens, total)


@partial(jax.jit, donate_argnums=0)
def _add(total: Llama, model: Llama, rows: Mapping[str, Array], key: Array, first: int) -> Llama:
    """Add the squared gradients of some rows, one by one. first: number of the first row."""

    def add(total: Llama, row: tuple[Array, Mapping[str, Array]]) -> tuple[Llama, None]:
        number, inputs = row
        one = {name: a[None] for name, a in inputs.items()}
        gradient = jax.grad(sampled_loss)(model, one, jax.random.fold_in(key, number))
        return jax.tree.map(lambda t, g: t + jnp.square(reshard_like(g, t).astype(jnp.float32)), total, gradient), None

    numbers = first + jnp.arange(len(rows["segments"]))
    with jax.default_matmul_precision("highest"):
        return lax.scan(add, total, (numbers, rows))[0]


def sampled_loss(model: Llama, row: Mapping[str, Array], key: Array) -> Float[Array, ""]:
    """-log p(y), y drawn from p, summed over the tokens of packed rows that are copied to every device."""
    local = jax.tree.map(lambda a: a, model)
    local.compute = replace(model.compute, layout=replace(model.compute.layout, batch=()))
    states = hidden(local, row["tokens"], row["positions"], row["segments"])
    log_p = jax.nn.log_softmax(logits(local, states))
    labels = jax.random.categorical(key, lax.stop_gradient(log_p))
    return -jnp.where(row["segments"] > 0, select(log_p, labels), 0.0).sum()

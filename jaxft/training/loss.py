"""The training loss from hidden states, with the logits of a few tokens in memory at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxft.llama.model import Llama, logits
from jaxft.sharding import pick


def token_losses(
    logits: Float[Array, "B T V"], targets: Int[Array, "B T"], weights: Float[Array, "B T"]
) -> Float[Array, "B T"]:
    """Weighted -log p(target) in nat."""
    return (jax.nn.logsumexp(logits, axis=-1) - pick(logits, targets)) * weights


def chunked_loss_sum(
    model: Llama,
    x: Float[Array, "B T D"],
    targets: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    chunk: int,
) -> Float[Array, ""]:
    """`token_losses` of the final hidden states, summed, with the logits [B, chunk, V] of `chunk` tokens in memory.

    The backward pass computes them again, which costs one more product with the head: 2 D V operations a token.
    """
    batch, length, _ = x.shape
    chunk = min(chunk, length)
    count = -(-length // chunk)

    def split(a: Array) -> Array:
        """[B, T, ...] -> [T / chunk, B, chunk, ...]; what pads the last chunk has no weight."""
        padded = jnp.pad(a, [(0, 0), (0, count * chunk - length)] + [(0, 0)] * (a.ndim - 2))
        return padded.reshape(batch, count, chunk, *a.shape[2:]).swapaxes(0, 1)

    @jax.checkpoint
    def add(total: Array, part: tuple[Array, Array, Array]) -> tuple[Array, None]:
        x, targets, weights = part
        return total + token_losses(logits(model, x), targets, weights).sum(), None

    return lax.scan(add, jnp.zeros(()), (split(x), split(targets), split(weights)))[0]

"""The training loss from hidden states, with the logits of a few tokens in memory at once."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxft.llama.model import Llama, logits
from jaxft.sharding import select
from jaxft.subspace.certificate import divergence


def token_losses(
    logits: Float[Array, "B T V"], targets: Int[Array, "B T"], weights: Float[Array, "B T"]
) -> Float[Array, "B T"]:
    """Weighted -log p(target) in nat."""
    return (jax.nn.logsumexp(logits, axis=-1) - select(logits, targets)) * weights


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

    def losses(x: Array, targets: Array, weights: Array) -> Array:
        return token_losses(logits(model, x), targets, weights)

    return _chunked_sum(losses, chunk, x, targets, weights)


def chunked_kl_sum(
    base: Llama,
    before: Float[Array, "B T D"],
    model: Llama,
    after: Float[Array, "B T D"],
    weights: Float[Array, "B T"],
    chunk: int,
) -> Float[Array, ""]:
    """Weighted KL(base || model) in nat of the next token, summed, from the final hidden states of both.

    Logits are in memory, and computed again, as in `chunked_loss_sum`.
    """

    def divergences(before: Array, after: Array, weights: Array) -> Array:
        return divergence(logits(base, before), logits(model, after)) * weights

    return _chunked_sum(divergences, chunk, before, after, weights)


def _chunked_sum(function: Callable[..., Array], chunk: int, *arrays: Array) -> Float[Array, ""]:
    """The sum of a function of arrays [B, T, ...], called on `chunk` of the T at a time; 0 where it reads padding."""
    batch, length = arrays[0].shape[:2]
    chunk = min(chunk, length)
    count = -(-length // chunk)

    def split(a: Array) -> Array:
        """[B, T, ...] -> [T / chunk, B, chunk, ...]; what pads the last chunk has no weight."""
        padded = jnp.pad(a, [(0, 0), (0, count * chunk - length)] + [(0, 0)] * (a.ndim - 2))
        return padded.reshape(batch, count, chunk, *a.shape[2:]).swapaxes(0, 1)

    @jax.checkpoint
    def add(total: Array, part: tuple[Array, ...]) -> tuple[Array, None]:
        return total + function(*part).sum(), None

    return lax.scan(add, jnp.zeros(()), tuple(split(a) for a in arrays))[0]

"""Losses from logits and from hidden states, and the KL divergence between two models."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxft.llama.model import Llama, logits
from jaxft.sharding import select

#: If every logit's change differs by less than this from the mean change, a series of seven terms gives the KL.
NEAR = 0.5


def token_losses(
    logits: Float[Array, "B T V"], targets: Int[Array, "B T"], weights: Float[Array, "B T"]
) -> Float[Array, "B T"]:
    """Weighted -log p(target) in nat."""
    return (jax.nn.logsumexp(logits, axis=-1) - select(logits, targets)) * weights


def divergence(before: Float[Array, "B T V"], after: Float[Array, "B T V"]) -> Float[Array, "B T"]:
    """KL(before || after) in nat from logits, to float32's relative precision even if they hardly differ.

    With x = (after - before) - sum p (after - before), KL = log sum p e^x = log(1 + sum p (e^x - 1 - x)), whose terms
    are all positive. In log p - log q, of order 1, most digits cancel if the KL is 1e-6.
    """
    p, q = jax.nn.log_softmax(before), jax.nn.log_softmax(after)
    change = after - before
    x = change - (jnp.exp(p) * change).sum(-1, keepdims=True)
    near = jnp.abs(x).max(-1) < NEAR
    small = jnp.where(near[..., None], x, 0.0)
    series = jnp.zeros_like(x)  # (e^x - 1 - x) / (x^2 / 2) = 1 + x/3 (1 + x/4 (1 + ...)), by Horner's rule
    for divisor in range(8, 2, -1):
        series = small / divisor * (1 + series)
    close = jnp.log1p((jnp.exp(p) * jnp.square(small) / 2 * (1 + series)).sum(-1))
    return jnp.where(near, close, (jnp.exp(p) * (p - q)).sum(-1))


@jax.jit
def batch_drift(
    before: Float[Array, "B T V"], after: Float[Array, "B T V"], weights: Float[Array, "B T"]
) -> tuple[Array, Array, Array, Array, Array]:
    """(KL(before || after), entropy of `before`, weights, max |after - before|, KL of every token [B, T]), in nat.

    The first three are sums over tokens; the last is 0 for tokens of weight 0.
    """
    p = jax.nn.log_softmax(before)
    entropy = -(jnp.exp(p) * p).sum(-1)
    largest = jnp.where(weights > 0, jnp.abs(after - before).max(-1), 0.0).max()
    moved = jnp.where(weights > 0, divergence(before, after) * weights, 0.0)
    return moved.sum(), (entropy * weights).sum(), weights.sum(), largest, moved


def chunked_loss_sum(
    model: Llama,
    x: Float[Array, "B T D"],
    targets: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    chunk: int,
) -> Float[Array, ""]:
    """The sum of `token_losses` of the final hidden states, with logits of `chunk` tokens, [B, chunk, V], in memory.

    The backward pass recomputes the logits, which costs one more product with the head: 2 D V operations per token.
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
    """The sum of the weighted KL(base || model) of the next token in nat, from the final hidden states of both.

    Logits are chunked and recomputed as in `chunked_loss_sum`.
    """

    def divergences(before: Array, after: Array, weights: Array) -> Array:
        return divergence(logits(base, before), logits(model, after)) * weights

    return _chunked_sum(divergences, chunk, before, after, weights)


def _chunked_sum(function: Callable[..., Array], chunk: int, *arrays: Array) -> Float[Array, ""]:
    """The sum of a function of arrays [B, T, ...], called on `chunk` tokens at a time; it must be 0 on padding."""
    batch, length = arrays[0].shape[:2]
    chunk = min(chunk, length)
    count = -(-length // chunk)

    def split(a: Array) -> Array:
        """Reshape [B, T, ...] to [T / chunk, B, chunk, ...]; zeros, also of the weights, pad the last chunk."""
        padded = jnp.pad(a, [(0, 0), (0, count * chunk - length)] + [(0, 0)] * (a.ndim - 2))
        return padded.reshape(batch, count, chunk, *a.shape[2:]).swapaxes(0, 1)

    @jax.checkpoint
    def add(total: Array, part: tuple[Array, ...]) -> tuple[Array, None]:
        return total + function(*part).sum(), None

    return lax.scan(add, jnp.zeros(()), tuple(split(a) for a in arrays))[0]

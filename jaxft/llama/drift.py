"""Drift of a fine-tuned Llama from its base on a text: hidden states after every block, and logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxft.distributed import gather
from jaxft.llama.attention import packed_mask
from jaxft.llama.loss import batch_drift
from jaxft.llama.model import Layers, Llama, block, embed, logits
from jaxft.llama.sight import local_layers, sight_of, sights
from jaxft.sharding import shard_rows


@dataclass(frozen=True)
class Drift:
    """The change between two models on the same tokens.

    hidden [L]: |h - h0| / |h0| after every block, root mean square over tokens. logit_kl: mean KL to the base in
    nat/token. logit_max_difference: largest difference of a logit. relative_drift: the KL as a share of the base's
    entropy, the relative rise of loss to expect on text sampled from the base. text_kl, text_tokens [N]: for every
    segment of a row, the sum of the KL in nat over its tokens, and their number. A segment is one text, or a part of
    a text that is longer than a row.
    """

    hidden: Float[np.ndarray, " L"]
    logit_kl: float
    logit_max_difference: float
    relative_drift: float
    text_kl: Float[np.ndarray, " N"]
    text_tokens: Float[np.ndarray, " N"]


def drift(before: Llama, after: Llama, batches: Iterable[Mapping[str, Any]]) -> Drift:
    """Drift over batches of packed rows [B, T] with "tokens", "positions", "segments" (0 = padding, left out).

    Both models run together, one batch at a time; each holds the states of one block.
    """
    hidden = np.zeros(before.config.num_layers)
    divergence = entropy = tokens = largest = 0.0
    texts: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in batches:
        found = _batch(before, after, shard_rows(batch, before.compute.layout))
        ratios, kl, uncertain, count, difference, by_token = found
        texts.append(_by_text(gather(by_token), np.asarray(batch["segments"])))
        hidden += np.asarray(ratios, np.float64)
        divergence, entropy, tokens = divergence + float(kl), entropy + float(uncertain), tokens + float(count)
        largest = max(largest, float(difference))
    count, moved = max(tokens, 1.0), max(divergence, 0.0)
    text_kl, text_tokens = (np.concatenate(parts) for parts in zip(*texts, strict=True))
    return Drift(
        np.sqrt(hidden / count),
        moved / count,
        largest,
        moved / max(entropy, 1e-30),
        np.maximum(text_kl, 0),
        text_tokens,
    )


def _by_text(values: Float[np.ndarray, "B T"], segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sum of the values, number of tokens) of every segment that is not padding, [N] each."""
    keys = segments + (1 + segments.max()) * np.arange(len(segments))[:, None]
    real = segments > 0
    counts = np.bincount(keys[real])
    return np.bincount(keys[real], values[real])[counts > 0], counts[counts > 0].astype(float)


@jax.jit
def _batch(before: Llama, after: Llama, batch: Mapping[str, Array]) -> tuple[Array, ...]:
    """Sums over one batch's tokens (|h - h0|^2 / |h0|^2 after every block [L], KL, entropy, tokens), the largest
    difference of a logit, and the KL of every token [B, T]."""
    config, layout, real = before.config, before.compute.layout, batch["segments"] > 0
    both = sights(config, batch["positions"], packed_mask(batch["segments"]))

    def body(
        states: tuple[Array, Array], layers: tuple[Layers, Layers, Array | None]
    ) -> tuple[tuple[Array, Array], Array]:
        sight = sight_of(both, layers[2])
        old, new = (block(layer, config, layout, x, sight)[0] for x, layer in zip(states, layers[:2], strict=True))
        moved = jnp.square(new.astype(jnp.float32) - old.astype(jnp.float32)).sum(-1)
        ratio = moved / jnp.square(old.astype(jnp.float32)).sum(-1)
        return (old, new), jnp.where(real, ratio, 0.0).sum()

    with jax.default_matmul_precision("highest"):
        start = embed(before, batch["tokens"]), embed(after, batch["tokens"])
        (old, new), ratios = jax.lax.scan(body, start, (before.layers, after.layers, local_layers(config)))
        return ratios, *batch_drift(logits(before, old), logits(after, new), real.astype(jnp.float32))

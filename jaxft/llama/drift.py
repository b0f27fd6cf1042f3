"""How far a fine-tuned Llama drifts from its base on a text: hidden states after every block, and logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxft.llama.loss import batch_drift
from jaxft.llama.model import Layers, Llama, block, embed, logits, packed_mask
from jaxft.llama.rope import rotary_angles
from jaxft.sharding import shard_rows


@dataclass(frozen=True)
class Drift:
    """The change between two models on the same tokens.

    hidden [L]: |h - h0| / |h0| after every block, root mean square over tokens. logit_kl: mean KL to the base in
    nat/token. logit_max_difference: largest difference of a logit. relative_drift: the KL as a
    share of the base's entropy, which is the relative rise of loss to expect on text of the base itself.
    """

    hidden: Float[np.ndarray, " L"]
    logit_kl: float
    logit_max_difference: float
    relative_drift: float


def drift(before: Llama, after: Llama, batches: Iterable[Mapping[str, Any]]) -> Drift:
    """Drift over batches of packed rows [B, T] with "tokens", "positions", "segments" (0 = padding, left out).

    Both models run side by side, a batch at a time: one block's states are held of each.
    """
    hidden = np.zeros(before.config.num_layers)
    divergence = entropy = tokens = largest = 0.0
    for batch in batches:
        ratios, kl, uncertain, count, difference = _batch(before, after, shard_rows(batch, before.compute.layout))
        hidden += np.asarray(ratios, np.float64)
        divergence, entropy, tokens = divergence + float(kl), entropy + float(uncertain), tokens + float(count)
        largest = max(largest, float(difference))
    count, moved = max(tokens, 1.0), max(divergence, 0.0)
    return Drift(np.sqrt(hidden / count), moved / count, largest, moved / max(entropy, 1e-30))


@jax.jit
def _batch(before: Llama, after: Llama, batch: Mapping[str, Array]) -> tuple[Array, Array, Array, Array, Array]:
    """Sums over one batch's tokens (|h - h0|^2 / |h0|^2 after every block [L], KL, entropy, tokens), and the largest
    difference of a logit."""
    config, layout, real = before.config, before.compute.layout, batch["segments"] > 0
    angles, visible = rotary_angles(config, batch["positions"]), packed_mask(batch["segments"])

    def body(states: tuple[Array, Array], layers: tuple[Layers, Layers]) -> tuple[tuple[Array, Array], Array]:
        old, new = (
            block(layer, config, layout, x, angles, visible)[0] for x, layer in zip(states, layers, strict=True)
        )
        moved = jnp.square(new.astype(jnp.float32) - old.astype(jnp.float32)).sum(-1)
        ratio = moved / jnp.square(old.astype(jnp.float32)).sum(-1)
        return (old, new), jnp.where(real, ratio, 0.0).sum()

    with jax.default_matmul_precision("highest"):
        start = embed(before, batch["tokens"]), embed(after, batch["tokens"])
        (old, new), ratios = jax.lax.scan(body, start, (before.layers, after.layers))
        return ratios, *batch_drift(logits(before, old), logits(after, new), real.astype(jnp.float32))

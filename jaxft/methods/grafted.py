"""Grafting: put the weights that changed most onto the base (Panigrahi et al. 2023, arXiv:2302.06600).

The share s of all parameters with the largest |W - W0| keeps its trained values, the others return to W0. The paper
starts from this mask of largest movement over the whole model and then optimises it on the task's loss, which is not
done here.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from jaxft.bounds import Fraction
from jaxft.llama.model import Llama
from jaxft.methods.base import Method, Statistics
from jaxft.sharding import reshard_like

INFINITY = 0x7F800000  # bits of float32 infinity; bits of non-negative floats have the order of the floats


@dataclass(frozen=True)
class Grafted(Method):
    """Full fine-tuning, then a graft of a few weights onto the base."""

    kind = "grafted"

    share: Fraction = 0.01  # of all parameters that keeps its change

    def finalize(self, trainable: Any, base: Llama, statistics: Statistics) -> Any:
        return graft(trainable, base, self.share)


def graft(trained: Llama, base: Llama, share: float) -> Llama:
    """W if |W - W0| is among the largest `share` of all parameters, ties included; else W0; in float32."""
    total = sum(leaf.size for leaf in jax.tree.leaves(trained))
    least = np.float32(_kth_largest(trained, base, max(1, round(share * total))))
    return _graft(trained, base, least)


def _kth_largest(trained: Llama, base: Llama, k: int) -> np.float32:
    """The k-th largest |W - W0| over all parameters: by bisection of its bits, as sorting would gather all weights."""
    low, high = 0, INFINITY  # `low` is reached by at least k of them, `high` by fewer
    while high - low > 1:
        middle = (low + high) // 2
        counts = _count(trained, base, np.uint32(middle).view(np.float32))
        reached = sum(int(np.asarray(count).astype(np.int64).sum()) for count in counts)
        low, high = (middle, high) if reached >= k else (low, middle)
    return np.uint32(low).view(np.float32)


def _moved(w: Array, w0: Array) -> Array:
    return jnp.abs(w.astype(jnp.float32) - reshard_like(w0, w).astype(jnp.float32))


@jax.jit
def _count(trained: Llama, base: Llama, least: Float[Array, ""]) -> list[Array]:
    """Number of weights that moved by `least` or more, by parameter and layer: a large model's total exceeds int32."""
    moved = jax.tree.leaves(jax.tree.map(_moved, trained, base))
    return [(m >= least).astype(jnp.int32).sum(axis=tuple(range(1, m.ndim))) for m in moved]


@jax.jit
def _graft(trained: Llama, base: Llama, least: Float[Array, ""]) -> Llama:
    def choose(w: Array, w0: Array) -> Array:
        return jnp.where(_moved(w, w0) >= least, w.astype(jnp.float32), reshard_like(w0, w).astype(jnp.float32))

    return jax.tree.map(choose, trained, base)

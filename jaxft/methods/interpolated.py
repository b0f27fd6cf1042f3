"""Interpolation with the base after training (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903, eq. 1)."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxft.bounds import Fraction
from jaxft.llama.model import Llama
from jaxft.methods.base import Method, Statistics
from jaxft.sharding import reshard_like


@dataclass(frozen=True)
class Interpolated(Method):
    """Full fine-tuning, then W0 + weight (W - W0) for all parameters: 0 is the base, 1 the trained model."""

    kind = "interpolated"

    weight: Fraction = 0.5  # of the trained model

    def finalize(self, trainable: Any, base: Llama, statistics: Statistics) -> Any:
        return interpolate(trainable, base, self.weight)


@partial(jax.jit, static_argnames="weight")
def interpolate(trained: Any, base: Any, weight: float) -> Any:
    """W0 + weight (W - W0) of every array of two trees, in float32."""
    w0 = jax.tree.map(lambda a, w: reshard_like(a, w).astype(jnp.float32), base, trained)
    return jax.tree.map(lambda a, w: a + weight * (w.astype(jnp.float32) - a), w0, trained)

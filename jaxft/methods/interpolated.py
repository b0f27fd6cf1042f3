"""Interpolation with the base after training (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903, eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxft import method_config
from jaxft.llama.model import Llama
from jaxft.methods.base import Given, Method
from jaxft.sharding import reshard_like


@dataclass(frozen=True)
class Interpolated(Method):
    """Full fine-tuning, then W0 + weight (W - W0) for all parameters: 0 is the base, 1 what training left."""

    settings: method_config.Interpolated

    def finalize(self, trainable: Any, base: Llama, given: Given) -> Any:
        del given

        @jax.jit
        def between(trained: Llama, base: Llama) -> Llama:
            w0 = jax.tree.map(lambda a, w: reshard_like(a, w).astype(jnp.float32), base, trained)
            return jax.tree.map(lambda a, w: a + self.settings.weight * (w.astype(jnp.float32) - a), w0, trained)

        return between(trainable, base)

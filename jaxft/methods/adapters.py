"""Trainable changes of a frozen linear y = x W, stacked over layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from jaxft.llama.model import Adapters, Llama


@partial(jax.tree_util.register_dataclass, data_fields=["change"], meta_fields=[])
@dataclass(frozen=True)
class Dense:
    """y = x (W + dW); dW is kept apart in float32 so that small changes of large weights lose nothing to rounding."""

    change: Float[Array, "L d n"]

    def __call__(self, x: Array, kernel: Array, key: Array | None) -> Array:
        del key
        return x @ (kernel.astype(jnp.float32) + self.change).astype(x.dtype)

    def delta(self) -> Float[Array, "L d n"]:
        return self.change


@partial(jax.tree_util.register_dataclass, data_fields=["a", "b"], meta_fields=["scale", "dropout"])
@dataclass(frozen=True)
class LowRank:
    """y = x W + scale * dropout(x) A B (Hu et al. 2021, eq. 3)."""

    a: Float[Array, "L d r"]
    b: Float[Array, "L r n"]
    scale: float
    dropout: float = 0.0

    def __call__(self, x: Array, kernel: Array, key: Array | None) -> Array:
        out = x @ kernel.astype(x.dtype)
        if self.dropout and key is not None:
            keep = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
            x = jnp.where(keep, x / (1 - self.dropout), 0)
        return out + (x @ self.a.astype(x.dtype)) @ self.b.astype(x.dtype) * self.scale

    def delta(self) -> Float[Array, "L d n"]:
        return self.scale * jnp.matmul(self.a, self.b, precision="highest")


def merge(model: Llama, adapters: Adapters | None) -> Llama:
    """The model with W + dW in place of every adapted kernel, in float32."""
    merged = jax.tree.map(lambda a: a, model)  # a new container: the base stays as it is
    for name, adapter in (adapters or {}).items():
        kernel = getattr(merged.layers, name)
        kernel[...] = kernel[...].astype(jnp.float32) + adapter.delta()
    return merged

"""Trainable changes of a frozen linear y = x W, stacked over layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float

from jaxft.llama.model import Adapters, Dot, Llama
from jaxft.sharding import like, put


@partial(jax.tree_util.register_dataclass, data_fields=["change"], meta_fields=[])
@dataclass(frozen=True)
class Dense:
    """y = x (W + dW); dW is kept apart in float32 so that small changes of large weights lose nothing to rounding."""

    change: Float[Array, "L d n"]

    def __call__(self, x: Array, kernel: Array, key: Array | None, dot: Dot) -> Array:
        del key
        return dot(x, (like(kernel.astype(jnp.float32), self.change) + self.change).astype(x.dtype))

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

    def __call__(self, x: Array, kernel: Array, key: Array | None, dot: Dot) -> Array:
        out = dot(x, kernel)
        d, n = dot.kernel
        down, up = (
            Dot(PartitionSpec(d, None), PartitionSpec(*dot.result[:2], None)),
            Dot(PartitionSpec(None, n), dot.result),
        )
        if self.dropout and key is not None:
            keep = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
            x = jnp.where(keep, x / (1 - self.dropout), 0)
        return out + up(down(x, self.a), self.b) * self.scale

    def delta(self) -> Float[Array, "L d n"]:
        return self.scale * jnp.matmul(self.a, put(self.b, PartitionSpec()), precision="highest")


def no_change(base: Llama, targets: Iterable[str]) -> dict[str, Dense]:
    """Zeros for each of these linears, in float32, sharded as what is trained is."""
    layout, shapes, layers = base.compute.layout, base.config.linear_shapes, base.config.num_layers
    return {
        name: Dense(put(jnp.zeros((layers, *shapes[name])), layout.parameter("layers", name, "trained")))
        for name in targets
    }


def merge(model: Llama, adapters: Adapters | None) -> Llama:
    """The model with W + dW in place of every adapted kernel, in float32."""
    merged = jax.tree.map(lambda a: a, model)  # a new container: the base stays as it is
    for name, adapter in (adapters or {}).items():
        kernel = getattr(merged.layers, name)
        kernel.set_value(kernel[...].astype(jnp.float32) + like(adapter.delta(), kernel[...]))
    return merged

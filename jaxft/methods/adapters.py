"""Trainable changes of a frozen linear y = x W, stacked over layers."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float

from jaxft.llama.model import Adapters, Llama
from jaxft.llama.sharding import Dot, parameter_spec
from jaxft.sharding import reshard, reshard_like


@partial(jax.tree_util.register_dataclass, data_fields=["change"], meta_fields=[])
@dataclass(frozen=True)
class Dense:
    """y = x (W + dW); dW is stored separately in float32, so that no small change of a large weight is rounded away."""

    change: Float[Array, "L d n"]

    def __call__(self, x: Array, kernel: Array, key: Array | None, dot: Dot) -> Array:
        del key
        return dot(x, (reshard_like(kernel.astype(jnp.float32), self.change) + self.change).astype(x.dtype))

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
        return dot(x, kernel) + self.product(x, key, dot)

    def product(self, x: Array, key: Array | None, dot: Dot) -> Array:
        """scale * dropout(x) A B."""
        d, n = dot.kernel
        down, up = (
            Dot(PartitionSpec(d, None), PartitionSpec(*dot.result[:2], None)),
            Dot(PartitionSpec(None, n), dot.result),
        )
        if self.dropout and key is not None:
            keep = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
            x = jnp.where(keep, x / (1 - self.dropout), 0)
        return up(down(x, self.a), self.b) * self.scale

    def delta(self) -> Float[Array, "L d n"]:
        return self.scale * jnp.matmul(self.a, reshard(self.b, PartitionSpec()), precision="highest")


@partial(jax.tree_util.register_dataclass, data_fields=["factors", "start"], meta_fields=[])
@dataclass(frozen=True)
class LowRankChange:
    """y = x W + scale * (x A B - x A0 B0): factors that start at a part A0 B0 of the weight, which is frozen.

    Both products are computed in the same way, so that y equals x W bit for bit while A B is A0 B0.
    """

    factors: LowRank
    start: LowRank

    def __call__(self, x: Array, kernel: Array, key: Array | None, dot: Dot) -> Array:
        start = jax.lax.stop_gradient(self.start)
        return dot(x, kernel) + (self.factors.product(x, key, dot) - start.product(x, key, dot))

    def delta(self) -> Float[Array, "L d n"]:
        return self.factors.delta() - self.start.delta()

    def as_low_rank(self) -> LowRank:
        """The same change as factors of twice the rank: [A, A0] [B; -B0]."""
        a = jnp.concatenate([self.factors.a, self.start.a], axis=2).astype(jnp.float32)
        b = jnp.concatenate([self.factors.b, -self.start.b], axis=1).astype(jnp.float32)
        return LowRank(a, b, self.factors.scale, self.factors.dropout)


@partial(jax.tree_util.register_dataclass, data_fields=["factors", "magnitude", "kernel"], meta_fields=[])
@dataclass(frozen=True)
class Decomposed:
    """y = (x W + scale * dropout(x) A B) m / |W + scale A B|, one norm and one magnitude m for each output.

    Liu et al. 2024 (DoRA), eq. 5; the gradient treats the norm as a constant (section 4.3). kernel: W, which `delta`
    needs; None in trained parameters.
    """

    factors: LowRank
    magnitude: Float[Array, "L n"]
    kernel: Float[Array, "L d n"] | None = None

    def __call__(self, x: Array, kernel: Array, key: Array | None, dot: Dot) -> Array:
        d, n = dot.kernel
        a, b = reshard(self.factors.a, PartitionSpec(d, None)), reshard(self.factors.b, PartitionSpec(None, n))
        change = jnp.matmul(a.astype(jnp.float32), b.astype(jnp.float32), precision="highest")
        weight = reshard(kernel, dot.kernel).astype(jnp.float32) + self.factors.scale * change
        norm = jax.lax.stop_gradient(jnp.linalg.norm(weight, axis=0))
        gain = (reshard(self.magnitude, PartitionSpec(n)) / norm).astype(x.dtype)
        return self.factors(x, kernel, key, dot) * gain

    def delta(self) -> Float[Array, "L d n"]:
        assert self.kernel is not None
        kernel = self.kernel.astype(jnp.float32)
        weight = kernel + reshard_like(self.factors.delta(), kernel)
        gain = reshard(self.magnitude, PartitionSpec(None, jax.typeof(kernel).sharding.spec[2])) / column_norms(weight)
        return weight * gain[:, None] - kernel


def column_norms(kernel: Float[Array, "L d n"]) -> Float[Array, "L n"]:
    """Norm of each output's column, over the inputs, in float32."""
    return jnp.linalg.norm(kernel.astype(jnp.float32), axis=1)


def no_change(base: Llama, targets: Iterable[str]) -> dict[str, Dense]:
    """Zeros for each of these linears, in float32, sharded as trained weights."""
    layout, shapes, layers = base.compute.layout, base.config.linear_shapes, base.config.num_layers
    return {
        name: Dense(reshard(jnp.zeros((layers, *shapes[name])), parameter_spec(layout, "layers", name, "trained")))
        for name in targets
    }


def merge(model: Llama, adapters: Adapters | None) -> Llama:
    """The model with W + dW in place of every adapted kernel, in float32."""
    merged = jax.tree.map(lambda a: a, model)  # a new container: the base is unchanged
    for name, adapter in (adapters or {}).items():
        kernel = getattr(merged.layers, name)
        kernel.set_value(kernel[...].astype(jnp.float32) + reshard_like(adapter.delta(), kernel[...]))
    return merged

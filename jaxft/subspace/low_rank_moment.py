"""Second moments as low rank plus diagonal, for the decay toward the base if whole matrices are too large.

The input of Llama-2-7B's `down` has 11,008 features: the moments of 32 layers take 15 GB, 64 directions take 0.1 GB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from jaxft.sharding import out_sharding, reshard

_dot = partial(jnp.einsum, precision="highest", preferred_element_type=jnp.float32)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LowRankMoment:
    """C ~ V diag(l) V^T + diag(D), stacked over layers; trace and diagonal are those of C.

    vectors: V [L, d, r], orthonormal columns; products are computed in their dtype and summed in float32.
    values: l [L, r]. diagonal: D [L, d], the rest of C's diagonal.
    """

    vectors: Float[Array, "L d r"]
    values: Float[Array, "L r"]
    diagonal: Float[Array, "L d"]

    def left(self, x: Float[Array, "L d n"]) -> Float[Array, "L d n"]:
        """C x in float32."""
        _, d, n = jax.typeof(x).sharding.spec
        v = reshard(self.vectors, PartitionSpec(None, d, None))
        read = _dot("ldr,ldn->lrn", v, x.astype(v.dtype), out_sharding=out_sharding(PartitionSpec(None, None, n)))
        scaled = (self.values[..., None] * read).astype(v.dtype)
        wide = _dot("ldr,lrn->ldn", v, scaled, out_sharding=out_sharding(jax.typeof(x).sharding.spec))
        return wide + reshard(self.diagonal, PartitionSpec(None, d))[..., None] * x.astype(jnp.float32)

    def right(self, x: Float[Array, "L n d"]) -> Float[Array, "L n d"]:
        """x C in float32."""
        _, n, d = jax.typeof(x).sharding.spec
        v = reshard(self.vectors, PartitionSpec(None, d, None))
        read = _dot("lnd,ldr->lnr", x.astype(v.dtype), v, out_sharding=out_sharding(PartitionSpec(None, n, None)))
        scaled = (self.values[:, None, :] * read).astype(v.dtype)
        wide = _dot("lnr,ldr->lnd", scaled, v, out_sharding=out_sharding(jax.typeof(x).sharding.spec))
        return wide + reshard(self.diagonal, PartitionSpec(None, d))[:, None, :] * x.astype(jnp.float32)


def is_full(rank: int, width: int) -> bool:
    """True if moments of `width` features stay whole matrices for a setting of `rank` directions (0: all)."""
    return not 0 < rank < width


def factor(
    moment: Float[np.ndarray, "d d"], values: np.ndarray, vectors: np.ndarray, rank: int, skip: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(V [d, rank], l [rank], D [d]) of a moment from its eigenvalues and eigenvectors, largest first.

    skip: number of leading directions to leave out, because the arrays to be multiplied are zero along them.
    """
    end = min(skip + rank, len(values))
    kept = slice(skip, end)
    rest = np.diag(moment) - np.square(vectors[:, :end]) @ values[:end]
    fill = rank - (end - skip)  # zero columns change no product
    return np.pad(vectors[:, kept], ((0, 0), (0, fill))), np.pad(values[kept], (0, fill)), np.maximum(rest, 0)


def stack_factors(factors: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> LowRankMoment:
    """One LowRankMoment from each layer's factors."""
    vectors, values, diagonals = (jnp.asarray(np.stack(part), jnp.float32) for part in zip(*factors, strict=True))
    return LowRankMoment(vectors, values, diagonals)


def place(moment: Any, axis: str | None, dtype: str) -> Any:
    """A stacked moment on the devices, split like `axis` of the weights that it multiplies.

    Whole matrices [L, d, d] stay in float32; the directions of a LowRankMoment take `dtype`.
    """
    if isinstance(moment, LowRankMoment):
        vectors = reshard(moment.vectors.astype(dtype), PartitionSpec(None, axis, None))
        return LowRankMoment(vectors, moment.values, reshard(moment.diagonal, PartitionSpec(None, axis)))
    return reshard(jnp.asarray(moment), PartitionSpec(None, axis, None))


def left(moment: Array | LowRankMoment, x: Float[Array, "L d n"]) -> Float[Array, "L d n"]:
    """C x in float32, for whole matrices [L, d, d] and for a LowRankMoment."""
    if isinstance(moment, LowRankMoment):
        return moment.left(x)
    same = out_sharding(jax.typeof(x).sharding.spec)
    # C is symmetric; summed over its first axis, which is the one that is split.
    return jnp.einsum("led,len->ldn", moment, x.astype(jnp.float32), precision="highest", out_sharding=same)


def right(moment: Array | LowRankMoment, x: Float[Array, "L n d"]) -> Float[Array, "L n d"]:
    """x C in float32, for whole matrices [L, d, d] and for a LowRankMoment."""
    if isinstance(moment, LowRankMoment):
        return moment.right(x)
    same = out_sharding(jax.typeof(x).sharding.spec)
    return jnp.einsum("lne,led->lnd", x.astype(jnp.float32), moment, precision="highest", out_sharding=same)

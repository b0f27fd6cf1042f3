"""Safe LoRA: changes that leave the direction of the base's safety training are projected onto it (Hsu et al. 2024,
arXiv:2405.16833)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Le
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float

from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Statistics
from jaxft.methods.lora import Lora
from jaxft.sharding import out_sharding, reshard, reshard_like

Cosine = Annotated[float, Ge(-1), Le(1), "a cosine in [-1, 1]"]


class Aligned(NamedTuple):
    """An adapter's B after alignment, and the cosine between the changes before and after it, for each layer."""

    b: Float[Array, "L r n"]
    similarity: Float[Array, " L"]


@jax.jit
def align(adapter: LowRank, aligned: Float[Array, "L d n"], unaligned: Float[Array, "L d n"]) -> Aligned:
    """dW C and cos(dW, dW C) of dW = scale A B, with C = V^T V / |V| and V = W_aligned - W_unaligned.

    C is the paper's fast form of the projection onto the directions that safety training changed (the paper has y = W x
    and C dW); |V| is the Frobenius norm. It acts on the outputs: dW C = scale A (B C) keeps its rank, and no [n, n]
    matrix is formed. If the two models are equal, C = 0 and the cosine is 0.
    """
    dot, whole = partial(jnp.einsum, precision="highest"), out_sharding(PartitionSpec())
    a, b = (reshard(factor.astype(jnp.float32), PartitionSpec()) for factor in (adapter.a, adapter.b))
    v = aligned.astype(jnp.float32) - unaligned.astype(jnp.float32)
    _, d, n = jax.typeof(v).sharding.spec
    squares = jnp.sum(v * v, axis=(1, 2))
    split = reshard(b, PartitionSpec(None, None, n))
    inside = dot("lrn,ldn->lrd", split, v, out_sharding=out_sharding(PartitionSpec(None, None, d)))
    moved = dot("lrd,ldn->lrn", inside, v, out_sharding=whole)
    moved = moved / jnp.where(squares > 0, jnp.sqrt(squares), 1)[:, None, None]
    gram = dot("ldr,lds->lrs", a, a)  # <A B, A B'> = <A^T A B, B'>

    def product(left: Array, right: Array) -> Array:
        return jnp.sum(dot("lrs,lsn->lrn", gram, left) * right, axis=(1, 2))

    norms = jnp.sqrt(product(b, b) * product(moved, moved))
    return Aligned(reshard_like(moved, adapter.b), product(b, moved) / jnp.where(norms > 0, norms, 1))


def below(
    trainable: Mapping[str, LowRank], base: Llama, statistics: Statistics, threshold: float
) -> dict[str, tuple[Float[Array, "L 1 1"], Aligned]]:
    """For every linear, the mask of layers whose similarity is below the threshold, and the aligned adapter."""
    assert statistics.unaligned is not None
    found = {}
    for name, adapter in trainable.items():
        kernels = (getattr(model.layers, name)[...] for model in (base, statistics.unaligned))
        one = align(adapter, *kernels)
        found[name] = (one.similarity < threshold)[:, None, None], one
    return found


@dataclass(frozen=True)
class SafeLora(Lora):
    """LoRA; then dW <- dW C in every linear of every layer with cos(dW, dW C) < threshold, see `align`."""

    kind = "safe_lora"
    reads = frozenset({"unaligned"})

    unaligned: str = field(kw_only=True)  # folder of the base before its safety training
    threshold: Cosine = 0.5  # linears whose change is less like its aligned part are edited

    def finalize(self, trainable: dict[str, LowRank], base: Llama, statistics: Statistics) -> dict[str, LowRank]:
        return {
            name: replace(trainable[name], b=jnp.where(chosen, one.b, trainable[name].b))
            for name, (chosen, one) in below(trainable, base, statistics, self.threshold).items()
        }

"""LoRA-Null: adapters that start in the null space of reference inputs (Tang et al. 2025, arXiv:2503.02659)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.sharding import PartitionSpec

from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Llama
from jaxft.methods.base import Statistics
from jaxft.methods.residual_lora import ResidualLora
from jaxft.sharding import Layout, out_sharding, reshard
from jaxft.subspace.basis import directions


@dataclass(frozen=True)
class LoraNull(ResidualLora):
    """scale A0 B0 = U U^T W, where U [d, r] are the r directions that reference inputs use least.

    U: the eigenvectors of E[x x^T] with the smallest eigenvalues, which are the last left singular vectors of the
    inputs. With the singular value decomposition U U^T W = P diag(s) R^T the factors share its singular
    values: A0 = P sqrt(s / scale), B0 = sqrt(s / scale) R^T. Both factors are trained; nothing but the start keeps them
    in the null space.
    """

    kind = "lora_null"
    reads = frozenset({"input_moments"})

    def constants(self, statistics: Statistics, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Array]:
        """U of every input space, [L, d, r] float32, whole on every device."""
        rank, spaces = self.rank, {SPACE_OF[name] for name in self.targets}
        return {
            space: reshard(
                jnp.stack(
                    [directions(moment)[1][:, -rank:] for moment in jnp.asarray(statistics.input_moments[space])]
                ),
                PartitionSpec(),
            )
            for space in sorted(spaces)
        }

    def start(self, base: Llama, name: str, constants: Any) -> tuple[Array, Array]:
        u, kernel = constants[SPACE_OF[name]], getattr(base.layers, name)[...].astype(jnp.float32)
        inside = jnp.einsum("ldr,ldn->lrn", u, kernel, precision="highest", out_sharding=out_sharding(PartitionSpec()))
        p, s, r = jnp.linalg.svd(inside, full_matrices=False)  # of U^T W [r, n]; U times it has the same values
        a = jnp.einsum("ldr,lrs->lds", u, p, precision="highest") * jnp.sqrt(s)[:, None]
        return a, jnp.sqrt(s)[:, :, None] * r

"""OSF: changes orthogonal to the weights' own leading singular directions (Nayak et al. 2025, arXiv:2504.07097).

With W = U S V^T, the leading share `keep` of the singular directions is frozen on both sides:
dW = (I - U_k U_k^T) dW (I - V_k V_k^T). The change may have full rank in the complement, which is the space spanned by
the paper's trained factors of the low part. Every linear keeps the same share, as in peft's default; the paper also
sets it by layer, from the similarity of the layer's input and output.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float

from jaxft.bounds import Between
from jaxft.llama import flops
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Llama
from jaxft.llama.sharding import linear_spec
from jaxft.methods.adapters import Dense, no_change
from jaxft.methods.base import ALL_LINEARS, Method, Statistics, Targets
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.sharding import Layout, reshard
from jaxft.subspace.basis import Basis
from jaxft.subspace.projection import Sides, project, remove


@partial(jax.jit, static_argnames="count")
def leading(kernel: Float[Array, "L d n"], count: int) -> tuple[Float[Array, "L d k"], Float[Array, "L n k"]]:
    """The first `count` left and right singular vectors of each layer's kernel, as columns; one layer at a time."""

    def one(w: Array) -> tuple[Array, Array]:
        u, _, vt = jnp.linalg.svd(reshard(w, PartitionSpec()).astype(jnp.float32), full_matrices=False)
        return u[:, :count], vt[:count].T

    return jax.lax.map(one, kernel)


@dataclass(frozen=True)
class Osf(Method):
    """Dense changes of the linears; embeddings, norms and head are frozen."""

    kind = "osf"
    reads = frozenset({"base"})

    keep: Between = 0.5  # share of each linear's singular directions
    targets: Targets = ALL_LINEARS

    def kept(self, d: int, n: int) -> int:
        """Number of protected singular directions of a linear [d, n]; at least one."""
        return max(1, int(self.keep * min(d, n)))

    def constants(self, statistics: Statistics, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Sides]:
        """Both sides of every linear, in `dtype`; `finalize` removes the leak of a step's products in bfloat16."""
        base, found = statistics.base, {}
        assert base is not None
        for name in self.targets:
            count, layers = self.kept(*base.config.linear_shapes[name]), base.config.num_layers
            vectors = leading(getattr(base.layers, name)[...], count)
            axes = linear_spec(layout, name, "trained")
            found[name] = Sides(
                *(
                    Basis(reshard(side.astype(dtype), PartitionSpec(None, axis, None)), (count,) * layers)
                    for side, axis in zip(vectors, axes, strict=True)
                )
            )
        return found

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, Dense]:
        return no_change(base, self.targets)

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        """AdamW on the changes (so decay is toward the base) between two projections, of gradients and of updates."""
        return optax.chain(project(constants), adamw(adam, schedule), project(constants))

    def finalize(self, trainable: Any, base: Llama, statistics: Statistics) -> dict[str, Dense]:
        """All changes projected once more, in float32."""
        return jax.jit(remove)(self.constants(statistics, base.compute.layout), trainable)

    @property
    def trained_kernels(self) -> tuple[str, ...]:
        return self.targets

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """4 k d n on each side of a linear [d, n], of gradients and of updates."""
        return sum(8 * self.kept(*config.linear_shapes[name]) * flops.linears(config, [name]) for name in self.targets)

"""GaLore: Adam's moments of the linears in a few directions of their gradients (Zhao et al. 2024, arXiv:2403.03507).

For a gradient G [d, n] and every `gap` steps, P holds the first `rank` singular vectors of G on its narrower side:
left ones if d <= n, then R = P^T G and the update is scale * P adam(R); right ones if d > n, then R = G P and the
update is scale * adam(R) P^T (algorithm 2 and section 4.2, as in the authors' code). Moments are kept if P changes.
All other parameters, and weight decay, are AdamW's.

Not optax.contrib.galore: it projects the wider side, and its products fail on weights that a mesh splits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import PartitionSpec
from jaxtyping import Float, Int

from jaxft.bounds import Count, Positive
from jaxft.errors import require
from jaxft.llama import flops
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Llama
from jaxft.methods.base import Method
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.sharding import Layout, out_sharding, reshard

_dot = partial(jnp.einsum, precision="highest")


class GaloreState(NamedTuple):
    """projectors: P of every parameter in order, [L, min(d, n), r]; None if it is not [L, d, n]. adam: the state of the
    inner optimizer, which sees R in place of a parameter with a P."""

    count: Int[Array, ""]
    projectors: tuple[Array | None, ...]
    adam: Any


@dataclass(frozen=True)
class Galore(Method):
    """All weights are trained; the linears' optimizer state is small."""

    kind = "galore"

    rank: Count = 8  # directions of each linear's gradient
    gap: Count = 200  # steps between two choices of them
    scale: Positive = 0.25  # of the linears' updates

    def check_model(self, key: str, config: LlamaConfig) -> None:
        width = min(min(shape) for shape in config.linear_shapes.values())
        require(self.rank <= width, f"{key}.rank", self.rank, f"at most {width}, the width of the narrowest linear")

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        self.check_model(self.kind, base.config)
        low_rank = partial(scale_by_galore, rank=self.rank, gap=self.gap, scale=self.scale, layout=base.compute.layout)
        return adamw(adam, schedule, low_rank)

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """P^T G and P R, 2 r d n each for every linear [d, n], and the decompositions."""
        return 2 * self.rank * flops.linears(config) + self.refresh_flops(config)

    def refresh_flops(self, config: LlamaConfig) -> int:
        """Singular value decompositions, one in `gap` steps: 14 m n^2 + 8 n^3 for each linear with sides m >= n
        (Golub and Van Loan 2013, section 8.6: singular values and vectors of the narrower side)."""
        sides = [sorted(shape) for shape in config.linear_shapes.values()]
        return config.num_layers * sum(14 * m * n * n + 8 * n**3 for n, m in sides) // self.gap


def scale_by_galore(
    inner: optax.GradientTransformation, rank: int, gap: int = 200, scale: float = 0.25, layout: Layout = Layout()
) -> optax.GradientTransformation:
    """`inner` on the projected gradients of all weights [L, d, n] and on the plain gradients of other parameters."""

    def smaller(projectors: Any, leaves: list[Array]) -> tuple[Array, ...]:
        pairs = zip(projectors, leaves, strict=True)
        return tuple(w if p is None else project(p, w, layout) for p, w in pairs)

    def zeros(w: Array) -> Array:
        return reshard(jnp.zeros((w.shape[0], min(w.shape[1:]), rank)), layout.low_rank("a"))

    def init(params: Any) -> Any:
        leaves = jax.tree.leaves(params)
        projectors = tuple(zeros(w) if w.ndim == 3 else None for w in leaves)
        return GaloreState(jnp.zeros((), jnp.int32), projectors, inner.init(smaller(projectors, leaves)))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        gradients, structure = jax.tree.flatten(updates)
        projectors = lax.cond(
            state.count % gap == 0,
            lambda: tuple(directions(g, rank, layout) if g.ndim == 3 else None for g in gradients),
            lambda: state.projectors,
        )
        small: Any
        small, adam = inner.update(smaller(projectors, gradients), state.adam)
        changes = [
            u if p is None else scale * expand(p, u, g) for p, u, g in zip(projectors, small, gradients, strict=True)
        ]
        return jax.tree.unflatten(structure, changes), GaloreState(state.count + 1, projectors, adam)

    return optax.GradientTransformation(init, update)


def directions(gradient: Float[Array, "L d n"], rank: int, layout: Layout) -> Float[Array, "L m r"]:
    """The first singular vectors of each layer's gradient on its narrower side, one layer at a time."""

    def one(g: Array) -> Array:
        u, _, vt = jnp.linalg.svd(reshard(g, PartitionSpec()), full_matrices=False)
        return u[:, :rank] if g.shape[0] <= g.shape[1] else vt[:rank].T

    return reshard(lax.map(one, gradient), layout.low_rank("a"))


def project(p: Float[Array, "L m r"], g: Float[Array, "L d n"], layout: Layout) -> Array:
    """R = P^T G [L, r, n] if d <= n, else G P [L, d, r]; split over all devices."""
    _, d, n = jax.typeof(g).sharding.spec
    if g.shape[1] <= g.shape[2]:
        p, whole = reshard(p, PartitionSpec(None, d, None)), out_sharding(PartitionSpec(None, None, n))
        return reshard(_dot("ldr,ldn->lrn", p, g, out_sharding=whole), layout.low_rank("b"))
    p, whole = reshard(p, PartitionSpec(None, n, None)), out_sharding(PartitionSpec(None, d, None))
    return reshard(_dot("ldn,lnr->ldr", g, p, out_sharding=whole), layout.low_rank("a"))


def expand(p: Float[Array, "L m r"], small: Array, like: Float[Array, "L d n"]) -> Float[Array, "L d n"]:
    """P R if d <= n, else R P^T, with the shape and sharding of `like`."""
    _, d, n = jax.typeof(like).sharding.spec
    if like.shape[1] <= like.shape[2]:
        return _dot(
            "ldr,lrn->ldn", reshard(p, PartitionSpec(None, d, None)), reshard(small, PartitionSpec(None, None, n))
        )
    return _dot("ldr,lnr->ldn", reshard(small, PartitionSpec(None, d, None)), reshard(p, PartitionSpec(None, n, None)))

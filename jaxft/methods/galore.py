"""GaLore: Adam's moments of the linears in a few directions of their gradients (Zhao et al. 2024, arXiv:2403.03507).

For a gradient G [d, n] and every `gap` steps, P holds the first `rank` singular vectors of G on its narrower side:
left ones where d <= n, then R = P^T G and the update is scale * P adam(R); right ones where d > n, then R = G P and
scale * adam(R) P^T (algorithm 2 and section 4.2, as in the authors' code). Moments stay as they are when P changes.
All other parameters, and weight decay, are AdamW's.

Not optax.contrib.galore: that projects the wider side, and none of its products run on weights that a mesh splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import PartitionSpec
from jaxtyping import Float, Int

from jaxft import method_config
from jaxft.errors import UserError
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Llama
from jaxft.methods.base import Method, Schedule, adamw
from jaxft.sharding import Layout, out_sharding, reshard
from jaxft.training.config import Training

_dot = partial(jnp.einsum, precision="highest")


class GaloreState(NamedTuple):
    """projectors: P by linear, [L, min(d, n), r]. adam: of all parameters, of the linears' R in their place."""

    count: Int[Array, ""]
    projectors: dict[str, Array]
    adam: Any


@dataclass(frozen=True)
class Galore(Method):
    """All weights are trained; the linears' optimizer state is small."""

    settings: method_config.Galore

    def optimizer(
        self, training: Training, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        del constants
        rank = self.settings.rank
        for name, shape in base.config.linear_shapes.items():
            if not 1 <= rank <= min(shape):
                width = min(shape)
                raise UserError(f"methods: galore rank {rank} must lie in 1..{width}, the width of linear {name!r}")
        return adamw(training, schedule, partial(low_rank, self.settings, base.compute.layout))


def low_rank(
    settings: method_config.Galore, layout: Layout, inner: optax.GradientTransformation
) -> optax.GradientTransformation:
    """`inner` on the projected gradients of the linears and on those of all other parameters as they are."""

    def init(params: Any) -> GaloreState:
        projectors, small = {}, _by_name(params)
        for name in SPACE_OF:
            layers, d, n = small[name].shape
            projectors[name] = reshard(jnp.zeros((layers, min(d, n), settings.rank)), layout.low_rank("a"))
            small[name] = project(projectors[name], small[name], layout)
        return GaloreState(jnp.zeros((), jnp.int32), projectors, inner.init(small))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, GaloreState]:
        del params
        gradients = _by_name(updates)
        projectors = lax.cond(
            state.count % settings.gap == 0,
            lambda: {name: directions(gradients[name], settings.rank, layout) for name in SPACE_OF},
            lambda: state.projectors,
        )
        small: Any = gradients | {name: project(projectors[name], gradients[name], layout) for name in SPACE_OF}
        small, adam = inner.update(small, state.adam)
        scaled = jax.tree.map(lambda u: u, updates)
        for _, name, parameter in scaled.parameters():
            change = small[name]
            if name in SPACE_OF:
                change = settings.scale * expand(projectors[name], change, parameter[...])
            parameter.set_value(change)
        return scaled, GaloreState(state.count + 1, projectors, adam)

    return optax.GradientTransformation(init, update)


def directions(gradient: Float[Array, "L d n"], rank: int, layout: Layout) -> Float[Array, "L m r"]:
    """The first singular vectors of each layer's gradient on its narrower side, one layer at a time."""

    def one(g: Array) -> Array:
        u, _, vt = jnp.linalg.svd(reshard(g, PartitionSpec()), full_matrices=False)
        return u[:, :rank] if g.shape[0] <= g.shape[1] else vt[:rank].T

    return reshard(lax.map(one, gradient), layout.low_rank("a"))


def project(p: Float[Array, "L m r"], g: Float[Array, "L d n"], layout: Layout) -> Array:
    """R = P^T G [L, r, n] where d <= n, else G P [L, d, r]; spread over all devices."""
    _, d, n = jax.typeof(g).sharding.spec
    if g.shape[1] <= g.shape[2]:
        p, whole = reshard(p, PartitionSpec(None, d, None)), out_sharding(PartitionSpec(None, None, n))
        return reshard(_dot("ldr,ldn->lrn", p, g, out_sharding=whole), layout.low_rank("b"))
    p, whole = reshard(p, PartitionSpec(None, n, None)), out_sharding(PartitionSpec(None, d, None))
    return reshard(_dot("ldn,lnr->ldr", g, p, out_sharding=whole), layout.low_rank("a"))


def expand(p: Float[Array, "L m r"], small: Array, like: Float[Array, "L d n"]) -> Float[Array, "L d n"]:
    """P R where d <= n, else R P^T; of the shape and sharding of `like`."""
    _, d, n = jax.typeof(like).sharding.spec
    if like.shape[1] <= like.shape[2]:
        return _dot(
            "ldr,lrn->ldn", reshard(p, PartitionSpec(None, d, None)), reshard(small, PartitionSpec(None, None, n))
        )
    return _dot("ldr,lnr->ldn", reshard(small, PartitionSpec(None, d, None)), reshard(p, PartitionSpec(None, n, None)))


def _by_name(model: Llama) -> dict[str, Array]:
    return {name: parameter[...] for _, name, parameter in model.parameters()}

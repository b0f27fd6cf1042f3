"""Optax transforms that keep stacked weights out of protected directions.

Weights are [L, d_in, d_out] with y = x W, so protecting input directions Q means projecting on the left:
G <- (I - Q Q^T) G (Saha et al. 2021, gradient projection memory, eq. 6). Adam's elementwise scaling, momentum and
weight decay all leave the subspace again, so the decisive projection is the last transform, on the update.
Updates in the null space of E[x x^T] under Adam are Adam-NSCL (Wang et al. 2021, arXiv:2103.07113).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxft.optim import scale_by_adam
from jaxft.sharding import reshard_like
from jaxft.subspace.basis import Basis
from jaxft.subspace.low_rank_moment import LowRankMoment, left, right

Tree = Any
Moment = jax.Array | LowRankMoment


class Sides(NamedTuple):
    """Protected input directions U [L, d, k] and output directions V [L, n, k] of one linear."""

    inputs: Basis
    outputs: Basis

    def remove(self, x: Float[Array, "L d n"]) -> Float[Array, "L d n"]:
        """(I - U U^T) x (I - V V^T)."""
        return self.outputs.remove(self.inputs.remove(x).mT).mT


def remove(bases: Tree, tree: Tree) -> Tree:
    """(I - Q Q^T) of every array [L, d, n] of a tree, each in its own dtype.

    bases: a tree prefix of it with a Basis, Sides, or None for arrays that are not projected.
    """

    def one(basis: Basis | Sides | None, tree: Tree) -> Tree:
        return tree if basis is None else jax.tree.map(basis.remove, tree)

    return jax.tree.map(one, bases, tree, is_leaf=lambda x: x is None or isinstance(x, Basis | Sides))


def project(bases: Tree) -> optax.GradientTransformation:
    """Remove the protected part of every update: u <- (I - Q Q^T) u. bases: as in `remove`."""
    return optax.stateless(lambda updates, params: remove(bases, updates))


def moment_decay(
    strength: float, inputs: Tree, outputs: Tree | None = None, base: Tree | None = None
) -> optax.GradientTransformation:
    """Decay toward the base weights, weighted by second moments: g <- g + strength * C (W - W0) S.

    With C = E[x x^T] and no S, this is the gradient of strength / 2 * E|x (W - W0)|^2, half the expected squared
    change of the layer's outputs on reference text. With S = E[g g^T] of the output gradients it is the gradient of
    strength times the Kronecker-factored quadratic form of the KL to the base, in nat per token (K-FAC, Martens and
    Grosse 2015): the Kronecker-factored EWC of Ritter et al. 2018 (arXiv:1805.07810; on adapters LaLoRA,
    arXiv:2512.17720).

    inputs: tree prefix of the params with C, [L, d_in, d_in] or a `LowRankMoment`. outputs: the same with S of d_out.
    base: W0; None: the params are the change W - W0 itself.
    """

    def add(c: Moment, s: Moment | None, gradient: jax.Array, change: jax.Array) -> jax.Array:
        pull = left(c, change)
        if s is not None:
            pull = right(s, pull)
        return gradient + (strength * pull).astype(gradient.dtype)

    def update(updates: Tree, params: Tree) -> Tree:
        change = _change(params, base)
        whole = partial(jax.tree.map, is_leaf=lambda x: isinstance(x, LowRankMoment))
        if outputs is None:
            return whole(lambda c, g, d: jax.tree.map(partial(add, c, None), g, d), inputs, updates, change)
        return whole(lambda c, s, g, d: jax.tree.map(partial(add, c, s), g, d), inputs, outputs, updates, change)

    return optax.stateless(update)


def decay_toward(strength: float, base: Tree | None, importance: Tree | None = None) -> optax.GradientTransformation:
    """Decay toward the base weights: u <- u + strength * F (W - W0), elementwise; W0 as in `moment_decay`.

    After Adam it is decoupled weight decay; before Adam it is the gradient of strength / 2 * sum F (W - W0)^2.
    importance: F, shaped as the params; None: 1.
    """

    def update(updates: Tree, params: Tree) -> Tree:
        change = _change(params, base)
        if importance is None:
            return jax.tree.map(lambda u, d: u + strength * d, updates, change)
        return jax.tree.map(lambda u, f, d: u + strength * f * d, updates, importance, change)

    return optax.stateless(update)


def _change(params: Tree, base: Tree | None) -> Tree:
    if params is None:
        raise ValueError("decay toward the base needs the current parameters: update(updates, state, params)")
    return (
        params
        if base is None
        else jax.tree.map(lambda w, w0: w.astype(jnp.float32) - reshard_like(w0, w), params, base)
    )


def gradient_projection_adamw(
    learning_rate: optax.ScalarOrSchedule,
    bases: Tree,
    *,
    decay: optax.GradientTransformation | None = None,
    gradient_bases: Tree = None,
    updates: bool = True,
    clip: float | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    base: Tree | None = None,
    moments_dtype: str = "float32",
) -> optax.GradientTransformation:
    """AdamW between two projections: of the gradients, which keeps Adam's moments clean, and last of the updates.

    decay: a `moment_decay`, applied to the gradient first. weight_decay: decoupled, toward `base` (None: the params
    are changes of weights, and decay to zero). gradient_bases: directions to remove from gradients; None: `bases`.
    updates: False leaves the last projection out, for ablations.
    moments_dtype: of Adam's stored moments; see `scale_by_adam`.
    """
    chain = [
        decay,
        project(bases if gradient_bases is None else gradient_bases),
        optax.clip_by_global_norm(clip) if clip is not None else None,
        scale_by_adam(b1, b2, eps, moments_dtype),
        decay_toward(weight_decay, base) if weight_decay else None,
        optax.scale_by_learning_rate(learning_rate),
        project(bases) if updates else None,
    ]
    return optax.chain(*(transform for transform in chain if transform is not None))

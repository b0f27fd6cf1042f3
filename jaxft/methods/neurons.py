"""The neurons of a linear (its output features) that may change; all others keep their columns of W."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float

from jaxft.bounds import Fraction
from jaxft.sharding import out_sharding, reshard


@dataclass(frozen=True)
class Neurons:
    """The neurons (outputs of the linears) that may change, chosen once, before training."""

    share: Fraction  # of every linear's outputs in every layer
    by: Literal["importance", "similarity"]  # least used by reference text, or least aligned with its inputs


@partial(jax.jit, static_argnames="settings")
def chosen_neurons(
    settings: Neurons, kernel: Float[Array, "L d n"], moment: Float[Array, "L d d"]
) -> Float[Array, "L 1 n"]:
    """1 for the neurons that may change, 0 for the others.

    They are the `share` (at least one) with the lowest score in each layer; among equal scores, the first ones. With
    w_j the column of neuron j and C = E[x x^T], the scores are:

    importance: w_j^T C w_j = E[y_j^2], the energy of its output on reference text, diag(W^T C W).
    similarity: w_j^T C w_j / |w_j|^2 = sum_i l_i cos(w_j, u_i)^2 for C = sum_i l_i u_i u_i^T, the alignment of the
    column with the directions of the reference text's inputs, each weighted by its energy, for any length of w_j.
    """
    _, d, n = jax.typeof(kernel).sharding.spec

    def energies(layer: tuple[Array, Array]) -> Array:
        w, c = layer[0].astype(jnp.float32), reshard(layer[1], PartitionSpec(None, d))
        read = jnp.matmul(c, w, precision="highest", out_sharding=out_sharding(PartitionSpec(d, n)))
        energy = (w * read).sum(axis=0)
        if settings.by == "similarity":
            length = jnp.square(w).sum(axis=0)
            energy = energy / jnp.where(length > 0, length, 1.0)
        return reshard(energy, PartitionSpec())

    scores = jax.lax.map(energies, (kernel, moment))
    places = jnp.argsort(jnp.argsort(scores, axis=-1), axis=-1)  # both sorts are stable
    return (places < max(1, round(settings.share * scores.shape[-1]))).astype(jnp.float32)[:, None]

"""Movement of the linears: the size and rank of each layer's change, and its share along directions of the input."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from jaxft.sharding import reshard
from jaxft.subspace.basis import directions, rank_for_energy

#: A weight counts as changed if |dW| exceeds this many times the rms weight of its linear in its layer.
CHANGED_ABOVE = 1e-3
#: Shares of the reference energy; a change is measured inside the strongest directions that hold each of them.
ENERGIES = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)


@dataclass(frozen=True)
class Movement:
    """The change of one stacked linear by fine-tuning: a row for each of its L layers, 0 if a layer did not change.

    norm: |dW|, Frobenius. relative: |dW| / |W|. effective_rank: exp(-sum p log p) of the shares p of the squared
    singular values of dW, from 1 (rank one) to min(d, n) (all singular values equal); Roy and Vetterli 2007 define it
    on the singular values themselves, here they are squared so that p are shares of |dW|^2. changed: share of the
    weights with |dW| > CHANGED_ABOVE rms(W). shares [L, E]: |Q^T dW|^2 / |dW|^2, Q the fewest directions of the
    reference inputs that hold each of ENERGIES. directions [L, E]: Q's share of all directions, the value of `shares`
    for a change that prefers no direction.
    """

    norm: np.ndarray
    relative: np.ndarray
    effective_rank: np.ndarray
    changed: np.ndarray
    shares: np.ndarray
    directions: np.ndarray


def movement(
    changes: Mapping[str, Float[Array, "L d n"]],
    kernels: Mapping[str, Float[Array, "L d n"]],
    moments: Iterable[Mapping[str, Float[np.ndarray, "d d"]]],
    space_of: Mapping[str, str],
) -> dict[str, Movement]:
    """The movement of every changed linear. Layers are measured, and on a mesh gathered, one at a time.

    changes: dW by linear. kernels: the base's W. moments: for each layer in order, the second moments of the reference
    inputs by input space. Each layer costs one eigendecomposition per space, and the eigenvalues of one matrix
    [min(d, n), min(d, n)] per linear.
    """
    rows: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in changes}
    for layer, by_space in enumerate(moments):
        for space in dict.fromkeys(space_of[name] for name in changes):
            values, vectors = directions(jnp.asarray(by_space[space]))
            ranks = np.array([rank_for_energy(np.asarray(values), energy) for energy in ENERGIES])
            for name in (name for name in changes if space_of[name] == space):
                change, kernel = (_layer(arrays[name], layer) for arrays in (changes, kernels))
                norm, relative, effective, changed, along = map(np.asarray, _measure(change, kernel, vectors))
                sums = np.concatenate([[0.0], np.cumsum(along, dtype=np.float64)])
                shares = sums[ranks] / (sums[-1] or 1.0)
                rows[name].append((norm, relative, effective, changed, shares, ranks / len(along)))
    return {name: Movement(*(np.stack(column) for column in zip(*found, strict=True))) for name, found in rows.items()}


def share_of_all(moved: Iterable[Movement]) -> tuple[Float[np.ndarray, " E"], Float[np.ndarray, " E"]]:
    """(share of the whole change inside the directions of each of ENERGIES; that of a change that prefers none).

    They are the means of `shares` and of `directions` over all linears and layers, weighted by |dW|^2.
    """
    inside = even = np.zeros(len(ENERGIES))
    total = 0.0
    for one in moved:
        squares = np.square(one.norm, dtype=np.float64)
        inside, even = inside + squares @ one.shares, even + squares @ one.directions
        total += squares.sum()
    return inside / (total or 1.0), even / (total or 1.0)


def _layer(stacked: Float[Array, "L d n"], layer: int) -> Float[Array, "d n"]:
    """One layer, whole on every device."""
    return reshard(jax.lax.index_in_dim(stacked, layer, keepdims=False), PartitionSpec())


@jax.jit
def _measure(
    change: Float[Array, "d n"], kernel: Float[Array, "d n"], vectors: Float[Array, "d d"]
) -> tuple[Array, Array, Array, Array, Array]:
    """(norm, relative norm, effective rank, changed share, shares of |dW|^2 along each of `vectors` [d])."""
    change, kernel = change.astype(jnp.float32), kernel.astype(jnp.float32)
    norm, base = jnp.linalg.norm(change), jnp.linalg.norm(kernel)
    changed = (jnp.abs(change) > CHANGED_ABOVE * base / np.sqrt(kernel.size)).mean()
    unit = change / jnp.where(norm == 0, 1.0, norm)
    with jax.default_matmul_precision("highest"):
        along = jnp.square(vectors.T @ unit).sum(axis=1)
        gram = unit.T @ unit if unit.shape[1] < unit.shape[0] else unit @ unit.T
        squares = jnp.maximum(jnp.linalg.eigvalsh(gram), 0)
    shares = squares / jnp.where(norm == 0, 1.0, squares.sum())
    effective = jnp.exp(jax.scipy.special.entr(shares).sum())
    return norm, norm / base, jnp.where(norm == 0, 0.0, effective), changed, along

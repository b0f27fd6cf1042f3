"""Protected bases from second moments: the choice of directions, their number, and the files that store them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float
from safetensors import safe_open

from jaxft.distributed import run_on_leader
from jaxft.errors import UserError
from jaxft.io import whole, write_tensors
from jaxft.sharding import out_sharding, reshard


@partial(jax.tree_util.register_dataclass, data_fields=["vectors"], meta_fields=["ranks", "complement"])
@dataclass(frozen=True)
class Basis:
    """Orthonormal protected directions Q of one input space, stacked over layers.

    vectors: [L, d, k] columns, strongest first; layers with fewer are padded with zero columns, which change no
        product. Products are computed in their dtype and summed in float32.
    ranks: number of protected directions of each layer.
    complement: True if `vectors` hold the free directions instead, because those are fewer.
    """

    vectors: Float[Array, "L d k"]
    ranks: tuple[int, ...]
    complement: bool = False

    @property
    def width(self) -> int:
        return self.vectors.shape[-2]

    def split(self, x: Float[Array, "L d n"]) -> tuple[Array, Array]:
        """(protected part Q Q^T x, free part (I - Q Q^T) x); their sum is x."""
        _, d, n = jax.typeof(x).sharding.spec
        vectors = reshard(self.vectors, PartitionSpec(None, d, None))
        whole = out_sharding(PartitionSpec(None, None, n))  # if the width is split, [k, n] is summed over its devices
        dot = partial(jnp.einsum, precision="highest", preferred_element_type=jnp.float32)
        coefficients = dot("ldk,ldn->lkn", vectors, x.astype(vectors.dtype), out_sharding=whole)
        inside = dot("ldk,lkn->ldn", vectors, coefficients.astype(vectors.dtype))
        outside = x.astype(jnp.float32) - inside
        return (outside, inside) if self.complement else (inside, outside)

    def remove(self, x: Float[Array, "L d n"]) -> Float[Array, "L d n"]:
        """(I - Q Q^T) x in the dtype of x."""
        return self.split(x)[1].astype(x.dtype)

    def leading(self, share: float) -> Basis:
        """The strongest directions, `share` of the largest rank; all of them if the free ones are stored instead."""
        if self.complement:
            return self
        count = math.ceil(share * self.vectors.shape[-1])
        return Basis(self.vectors[..., :count], tuple(min(rank, count) for rank in self.ranks))


@jax.jit
def directions(moment: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Eigenvalues, largest first, and orthonormal eigenvectors (columns) of a second moment.

    One Newton-Schulz step, U (3 I - U^T U) / 2, makes the vectors of a float32 eigh orthonormal up to rounding.
    """
    with jax.default_matmul_precision("highest"):
        values, vectors = jnp.linalg.eigh(moment.astype(jnp.float32))
        identity = jnp.eye(vectors.shape[0], dtype=jnp.float32)
        vectors = vectors @ (1.5 * identity - 0.5 * (vectors.T @ vectors))
    return jnp.maximum(values[::-1], 0), vectors[:, ::-1]


def rank_for_energy(values: np.ndarray, energy: float) -> int:
    """Smallest k with values[:k].sum() >= energy * values.sum(); values [d] need not be sorted.

    energy 1 takes every direction with more energy than the float32 rounding error of the largest.
    """
    if not 0 <= energy <= 1:
        raise UserError(f"energy {energy}: the captured energy must lie in (0, 1]; 0 protects nothing")
    values = np.asarray(values, np.float64)
    if energy == 0 or values.sum() == 0:
        return 0
    if energy == 1:
        return int(np.flatnonzero(values > np.finfo(np.float32).eps * values.max())[-1]) + 1
    sums = np.cumsum(values)
    return int(np.searchsorted(sums, energy * sums[-1])) + 1


def captured(basis: np.ndarray, moment: np.ndarray) -> float:
    """Share of the energy tr(C) that lies in span(Q): tr(Q^T C Q) / tr(C), for Q [d, k] and C [d, d]."""
    total = float(np.trace(moment))
    return float(np.einsum("dk,de,ek->", basis, moment, basis, optimize=True)) / total if total > 0 else 1.0


def plasticity(vectors: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """|(I - Q_k Q_k^T) G| / |G| for k = 0..d, where Q_k are the first k columns; G [d, n] -> [d + 1].

    It is the share of the domain's gradient that is left if the first k directions are protected.
    """
    energy = np.square(vectors.T.astype(np.float64) @ gradient).sum(axis=1)
    left = np.concatenate([np.cumsum(energy[::-1])[::-1], [0.0]])
    return np.sqrt(left / max(left[0], 1e-300))


def automatic_rank(vectors: np.ndarray, heldout: np.ndarray, gradient: np.ndarray, capture: float, floor: float) -> int:
    """The rank that captures `capture` of the held-out energy, lowered until `floor` of the gradient stays free.

    vectors [d, d]: directions, most used first. heldout [d, d]: moment of tokens that `vectors` do not come from.
    gradient [d, n]: the domain's gradients of all linears that read this space, side by side.
    """
    energies = np.einsum("dk,de,ek->k", vectors, heldout, vectors, optimize=True)
    rank = rank_for_energy(np.maximum(energies, 0), capture)
    allowed = np.flatnonzero(plasticity(vectors, gradient) >= floor)
    return min(rank, int(allowed[-1]))


def stack(protected: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> Basis:
    """One Basis from each layer's protected [d, k_l] and free [d, d - k_l] directions; it stores the smaller side."""
    ranks = tuple(int(q.shape[1]) for q in protected)
    complement = max(f.shape[1] for f in free) < max(ranks)
    side = free if complement else protected
    width = max(max(q.shape[1] for q in side), 1)
    padded = [np.pad(q, ((0, 0), (0, width - q.shape[1]))) for q in side]
    return Basis(jnp.asarray(np.stack(padded), jnp.float32), ranks, complement)


def save_bases(bases: Mapping[str, Basis], path: Path) -> None:
    """Write bases as plain arrays: `<space>/vectors`, `<space>/ranks`, `<space>/complement`; whole or not at all.

    All processes call this; the leader writes, and the others wait. UserError if the disk refuses.
    """
    run_on_leader(f"{path} written", lambda: _write(bases, path))


def _write(bases: Mapping[str, Basis], path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for space, basis in bases.items():
        arrays[f"{space}/vectors"] = np.asarray(basis.vectors)
        arrays[f"{space}/ranks"] = np.asarray(basis.ranks, np.int32)
        arrays[f"{space}/complement"] = np.asarray([basis.complement])
    with whole(path) as scratch:
        write_tensors(scratch, arrays)


def load_bases(path: Path) -> dict[str, Basis]:
    """Read bases that `save_bases` wrote; UserError if the file is damaged."""
    bases = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for space in sorted({key.split("/")[0] for key in file.keys()}):
                vectors, ranks = file.get_tensor(f"{space}/vectors"), file.get_tensor(f"{space}/ranks")
                complement = bool(file.get_tensor(f"{space}/complement")[0])
                bases[space] = Basis(jnp.asarray(vectors), tuple(int(r) for r in ranks), complement)
    except Exception as error:
        raise UserError(f"{path}: not a readable basis file ({error}); delete it to compute the basis anew") from error
    return bases

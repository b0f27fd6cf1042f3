"""The part of a certificate about weights: the leak into the protected directions."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from jaxft.sharding import out_sharding, reshard
from jaxft.subspace.basis import Basis


@jax.jit
def leak(basis: Basis, change: Float[Array, "L d n"]) -> Float[Array, " L"]:
    """|Q^T dW| / |dW| of each layer, Frobenius norms; 0 for a layer that did not change."""
    inside, _ = basis.split(change)
    whole = jnp.linalg.norm(change.astype(jnp.float32), axis=(1, 2))
    return jnp.linalg.norm(inside, axis=(1, 2)) / jnp.where(whole == 0, 1.0, whole)


@jax.jit
def heldout_capture(basis: Basis, moments: Float[Array, "L d d"]) -> Float[Array, " L"]:
    """Share of each layer's held-out energy inside the protected directions: tr(Q^T C Q) / tr(C)."""
    d = jax.typeof(basis.vectors).sharding.spec[1]
    read = jnp.einsum(
        "lde,lek->ldk",
        reshard(moments, PartitionSpec(None, None, d)),
        basis.vectors,
        precision="highest",
        out_sharding=out_sharding(PartitionSpec(None, d, None)),
    )
    inside = (basis.vectors * read).sum(axis=(1, 2))
    total = jnp.trace(moments, axis1=1, axis2=2)
    share = inside / jnp.where(total > 0, total, 1.0)
    captured = 1.0 - share if basis.complement else share
    return jnp.where(total > 0, captured, 1.0)


def certify(
    changes: Mapping[str, Array],
    kernels: Mapping[str, Array],
    bases: Mapping[str, Basis],
    heldout: Mapping[str, np.ndarray],
    space_of: Mapping[str, str],
    unprojected: list[str],
) -> dict[str, Any]:
    """The part of a certificate about weights, as JSON data.

    changes: dW by linear, [L, d, n]. kernels: the base's W0, the same shapes. bases, heldout: by input space, the
    protected bases and the held-out moments [L, d, d]. unprojected: parameters that changed outside of the linears.
    """
    leaks = {name: np.asarray(leak(bases[space_of[name]], change)) for name, change in changes.items()}
    spaces = []
    for space, basis in bases.items():
        shares = np.asarray(heldout_capture(basis, jnp.asarray(heldout[space])))
        for layer, rank in enumerate(basis.ranks):
            readers = {name: float(leaks[name][layer]) for name in leaks if space_of[name] == space}
            spaces.append(
                {
                    "space": space,
                    "layer": layer,
                    "width": basis.width,
                    "rank": rank,
                    "captured_heldout": float(shares[layer]),
                    "leak": readers,
                }
            )
    moved = float(np.sqrt(sum(float(jnp.square(c.astype(jnp.float32)).sum()) for c in changes.values())))
    base = float(np.sqrt(sum(float(jnp.square(k.astype(jnp.float32)).sum()) for k in kernels.values())))
    return {
        "delta_norm": moved,
        "relative_delta_norm": moved / base,
        "unprojected": unprojected,
        "spaces": spaces,
    }

"""How well the protection held: what leaked into the protected directions, and how far the outputs drifted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from jaxft.sharding import out_sharding, reshard
from jaxft.subspace.basis import Basis

#: Logits that move less than this, relative to each other, have their KL from a series of seven terms.
NEAR = 0.5


@jax.jit
def leak(basis: Basis, change: Float[Array, "L d n"]) -> Float[Array, " L"]:
    """|Q^T dW| / |dW| of each layer, Frobenius norms; 0 where a layer did not change."""
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


@jax.jit
def batch_drift(
    before: Float[Array, "B T V"], after: Float[Array, "B T V"], weights: Float[Array, "B T"]
) -> tuple[Array, Array, Array, Array, Array]:
    """Sums over weighted tokens of KL(before || after) and of the entropy of `before`, both in nat, and of the weights,
    max |after - before|, and the weighted KL of every token [B, T].
    """
    p = jax.nn.log_softmax(before)
    entropy = -(jnp.exp(p) * p).sum(-1)
    largest = jnp.where(weights > 0, jnp.abs(after - before).max(-1), 0.0).max()
    moved = jnp.where(weights > 0, divergence(before, after) * weights, 0.0)
    return moved.sum(), (entropy * weights).sum(), weights.sum(), largest, moved


def divergence(before: Float[Array, "B T V"], after: Float[Array, "B T V"]) -> Float[Array, "B T"]:
    """KL(before || after) in nat of logits, to float32's relative precision also where they hardly differ.

    With x = (after - before) - sum p (after - before), KL = log sum p e^x = log(1 + sum p (e^x - 1 - x)), whose terms
    are all positive. Of log p - log q, of order 1, most digits cancel where the KL is 1e-6.
    """
    p, q = jax.nn.log_softmax(before), jax.nn.log_softmax(after)
    change = after - before
    x = change - (jnp.exp(p) * change).sum(-1, keepdims=True)
    near = jnp.abs(x).max(-1) < NEAR
    small = jnp.where(near[..., None], x, 0.0)
    series = jnp.zeros_like(x)  # (e^x - 1 - x) / (x^2 / 2) = 1 + x/3 (1 + x/4 (1 + ...)), by Horner's rule
    for divisor in range(8, 2, -1):
        series = small / divisor * (1 + series)
    close = jnp.log1p((jnp.exp(p) * jnp.square(small) / 2 * (1 + series)).sum(-1))
    return jnp.where(near, close, (jnp.exp(p) * (p - q)).sum(-1))


def certify(
    changes: Mapping[str, Array],
    kernels: Mapping[str, Array],
    bases: Mapping[str, Basis],
    heldout: Mapping[str, np.ndarray],
    space_of: Mapping[str, str],
    unprojected: list[str],
) -> dict[str, Any]:
    """The weight side of a certificate.

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

"""Clipped AdamW, and weights and optimizer moments in bfloat16 that are rounded stochastically.

bfloat16 has 8 significant bits: rounding to the nearest loses a change below 0.2 to 0.4 % of a value, and most updates
of weights and of Adam's second moment are that small. Stochastic rounding keeps the mean, so that none is lost on
average (Gupta et al. 2015, arXiv:1502.02551). All arithmetic is in float32; only values stored between steps are
rounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, UInt32

from jaxft.bounds import BelowOne, NotNegative, Positive
from jaxft.sharding import out_sharding

Schedule = Callable[[Any], Any]  # step -> learning rate
Dtype = Literal["float32", "bfloat16"]
_MOMENTS = 0x6D6F6D  # seeds the rounding of moments


@dataclass(frozen=True)
class AdamSettings:
    """Settings that the optimizers of all methods share."""

    optimizer_dtype: Dtype = "float32"  # of Adam's moments; bfloat16 is rounded stochastically
    weights_dtype: Dtype = "float32"  # of trained weights; bfloat16 is rounded stochastically
    clip: Positive = 1.0  # global gradient norm
    weight_decay: NotNegative = 0.0  # decoupled; toward zero for full weights, toward the base for changes of weights
    beta1: BelowOne = 0.9
    beta2: BelowOne = 0.999

    @property
    def arguments(self) -> dict[str, Any]:
        """The settings as keyword arguments of `gradient_projection_adamw`."""
        return {
            "clip": self.clip,
            "b1": self.beta1,
            "b2": self.beta2,
            "weight_decay": self.weight_decay,
            "moments_dtype": self.optimizer_dtype,
        }


def adamw(
    settings: AdamSettings,
    schedule: Schedule,
    around: Callable[[optax.GradientTransformation], optax.GradientTransformation] = lambda adam: adam,
    decay: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    """Clipped AdamW (Loshchilov and Hutter 2019).

    around: wraps Adam's rescaling. decay: the decay of the weights; None: toward zero by `weight_decay`.
    """
    return optax.chain(
        optax.clip_by_global_norm(settings.clip),
        around(scale_by_adam(settings.beta1, settings.beta2, dtype=settings.optimizer_dtype)),
        optax.add_decayed_weights(settings.weight_decay) if decay is None else decay,
        optax.scale_by_learning_rate(schedule),
    )


def mask_updates(masks: Any) -> optax.GradientTransformation:
    """u <- mask * u. masks: a tree prefix of the updates, with arrays that broadcast against them; 0 freezes."""

    def keep(mask: Array, tree: Any) -> Any:
        return jax.tree.map(lambda u: mask * u, tree)

    return optax.stateless(lambda updates, params: jax.tree.map(keep, masks, updates))


def stochastic_round(x: Float[Array, "*n"], seed: UInt32[Array, ""]) -> Float[Array, "*n"]:
    """Round float32 at random to one of its two neighbours in bfloat16, with mean x; exact if x is in bfloat16."""
    bits = lax.bitcast_convert_type(x, jnp.uint32)
    # bfloat16 is the upper half of float32: noise added to the lower half carries with probability lower / 2^16.
    carried = (bits + (_noise(x, seed) >> 16)) & jnp.uint32(0xFFFF0000)
    return jnp.where(jnp.isfinite(x), lax.bitcast_convert_type(carried, jnp.float32), x).astype(jnp.bfloat16)


def _noise(like: Array, seed: Array) -> Array:
    """Random uint32 of an array's shape and sharding: a hash of the seed and of each element's index.

    Not `jax.random.bits`, which takes ten times as many operations per element and, on a CPU, ten times as long to
    compile (0.6 s per array). The hash does not depend on the sharding: a mesh rounds as one device does.
    """
    spec, found = jax.typeof(like).sharding.spec, seed
    for axis in range(like.ndim):
        shape, split = like.shape[: axis + 1], out_sharding(PartitionSpec(*spec[: axis + 1]))
        place = lax.broadcasted_iota(jnp.uint32, shape, axis, out_sharding=split)
        found = _mix(jnp.expand_dims(found, -1) ^ place)
    return found


def _mix(x: Array) -> Array:
    """A bijection of uint32 in which every bit of x affects every bit of the result (constants: C. Wellons, 2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def store(tree: Any, dtype: str, key: Array) -> Any:
    """A float32 tree in the dtype that is stored between steps; bfloat16 is rounded stochastically."""
    if dtype == "float32":
        return tree
    leaves, structure = jax.tree.flatten(tree)
    seeds = jax.random.bits(key, (len(leaves),))
    rounded = [stochastic_round(leaf, seeds[index]) for index, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, rounded)


def apply_updates(trainable: Any, updates: Any, dtype: str, key: Array) -> Any:
    """The weights after an update: w + u, added in float32 and stored in `dtype`."""
    if dtype == "float32":
        return optax.apply_updates(trainable, updates)
    return store(jax.tree.map(lambda w, u: w.astype(jnp.float32) + u, trainable, updates), dtype, key)


def scale_by_adam(b1: float, b2: float, eps: float = 1e-8, dtype: str = "float32") -> optax.GradientTransformation:
    """Adam's rescaling of float32 updates (Kingma and Ba 2015), with both moments stored in `dtype`.

    float32 is optax's own transform. In bfloat16 each step computes in float32 and rounds the stored moments
    stochastically, so that both stay unbiased: m <- round(b1 m + (1 - b1) g), v <- round(b2 v + (1 - b2) g^2). The
    randomness depends on the step count alone.
    """
    exact: Any = optax.scale_by_adam(b1, b2, eps)
    if dtype == "float32":
        return exact

    def moments(state: Any, change: Any) -> Any:
        mu, nu = change((state.mu, state.nu))
        return state._replace(mu=mu, nu=nu)

    def init(params: Any) -> Any:
        return moments(exact.init(params), lambda both: optax.tree.cast(both, dtype))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, new = exact.update(updates, moments(state, lambda both: optax.tree.cast(both, jnp.float32)), params)
        key = jax.random.fold_in(jax.random.key(_MOMENTS), new.count)
        return updates, moments(new, lambda both: store(both, dtype, key))

    return optax.GradientTransformation(init, update)

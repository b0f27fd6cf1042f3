"""Rotation and attention mask of each layer, for models whose layers differ in RoPE or window."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxft.llama.attention import Visible, in_window
from jaxft.llama.config import LlamaConfig
from jaxft.llama.rope import Rotation


class Sight(NamedTuple):
    """The rotation of a layer's queries and keys, and the tokens that each token sees there."""

    rotation: Rotation
    visible: Visible


Sights = tuple[Sight, Sight | None]  # of full layers and of local ones; None: all layers are alike


def sights(config: LlamaConfig, positions: Int[Array, "B T"], visible: Visible, first: Any = 0) -> Sights:
    """Rotation and mask of each kind of layer. visible: mask without windows. first: slot of the first new token."""
    full = Sight(config.rope.rotation(config.head_dim, positions), visible)
    if not any(config.local):
        return full, None
    rope = config.local_rope or config.rope
    local = Sight(rope.rotation(config.head_dim, positions), visible)
    if config.windowed:
        local = local._replace(visible=in_window(visible, config.window, first))
    return (local, None) if all(config.local) else (full, local)


def local_layers(config: LlamaConfig) -> Array | None:
    """True for local layers [L]; None if all layers are alike."""
    return jnp.asarray(config.local) if len(set(config.local)) == 2 else None


def sight_of(both: Sights, local: Array | None) -> Sight:
    """Rotation and mask of one layer. local: its entry of `local_layers`."""
    first, second = both
    if second is None or local is None:
        return first
    return jax.tree.map(lambda a, b: jnp.where(local, a, b), second, first)

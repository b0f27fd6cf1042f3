"""Rotary positions (Su et al. 2021, arXiv:2104.09864), in the rotate-half layout of Hugging Face."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxft.llama.config import LlamaConfig


def rotary_angles(config: LlamaConfig, positions: Int[Array, "B T"]) -> Float[Array, "B T 1 H/2"]:
    """position / scaling * theta^(-2i/H) for each pair i of a head's features, in radians."""
    pairs = jnp.arange(0, config.head_dim, 2, dtype=jnp.float32) / config.head_dim
    frequencies = 1.0 / config.rope_theta**pairs
    scaled = positions.astype(jnp.float32) / config.rope_scaling
    return (scaled[..., None] * frequencies)[:, :, None, :]


def rotate(x: Float[Array, "B T N H"], angles: Float[Array, "B T 1 H/2"]) -> Float[Array, "B T N H"]:
    """Rotate the pairs (x[i], x[i + H/2]) by their angles, in float32."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)

"""Rotary positions (Su et al. 2021, arXiv:2104.09864), in the rotate-half layout of Hugging Face, and their scalings.

A type of RoPE is one class here, with an entry in `TYPES`. Its fields are keys of config.json: those of `rope_scaling`
(transformers 4) or `rope_parameters` (transformers 5), or of the top level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Rotation(NamedTuple):
    """The angle of each pair of rotated features in radians, and a factor of all cosines and sines."""

    angles: Float[Array, "B T 1 R/2"]
    scale: float | Float[Array, ""] = 1.0


@dataclass(frozen=True, kw_only=True)
class Rope:
    """Angles position * theta^(-2i/R) for pair i of the R rotated features, the first ones of each head."""

    kind: ClassVar[str] = "default"

    rope_theta: float = 10_000.0
    partial_rotary_factor: float = 1.0  # R as a share of a head's features

    @property
    def scale(self) -> float:
        """Factor of all cosines and sines."""
        return 1.0

    @property
    def context(self) -> int | None:
        """Tokens within which the angles hold; None: the model's context."""
        return None

    def width(self, head_dim: int) -> int:
        """Number of rotated features of a head; ValueError if they are no pairs."""
        width = int(head_dim * self.partial_rotary_factor)
        if width % 2 or width == 0:
            raise ValueError(
                f"head_dim {head_dim} * {self.partial_rotary_factor} is odd or 0; RoPE needs pairs of features"
            )
        return width

    def frequencies(self, head_dim: int) -> Float[Array, " R/2"]:
        """Radians per token of each pair."""
        width = self.width(head_dim)
        return 1.0 / self.rope_theta ** (jnp.arange(0, width, 2, dtype=jnp.float32) / width)

    def rotation(self, head_dim: int, positions: Int[Array, "B T"] | Float[Array, "B T"]) -> Rotation:
        """The rotation of the tokens at these positions."""
        angles = positions.astype(jnp.float32)[..., None] * self.frequencies(head_dim)
        return Rotation(angles[:, :, None, :], self.scale)


@dataclass(frozen=True, kw_only=True)
class NoRope(Rope):
    """No rotation: layers that do not see positions (NoPE, Kazemnejad et al. 2023, arXiv:2305.19466)."""

    kind = "none"

    def frequencies(self, head_dim: int) -> Float[Array, " R/2"]:
        return jnp.zeros_like(super().frequencies(head_dim))


@dataclass(frozen=True, kw_only=True)
class Linear(Rope):
    """Positions divided by a factor (Chen et al. 2023, arXiv:2306.15595)."""

    kind = "linear"

    factor: float

    def rotation(self, head_dim: int, positions: Int[Array, "B T"] | Float[Array, "B T"]) -> Rotation:
        return super().rotation(head_dim, positions.astype(jnp.float32) / self.factor)


@dataclass(frozen=True, kw_only=True)
class Llama3(Rope):
    """Slow pairs divided by a factor, fast ones kept, those between interpolated (Llama 3.1's release).

    Pairs that turn less than `low_freq_factor` times in the original context are slow; more than `high_freq_factor`
    times, fast.
    """

    kind = "llama3"

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def frequencies(self, head_dim: int) -> Float[Array, " R/2"]:
        plain = super().frequencies(head_dim)
        turns = self.original_max_position_embeddings * plain / (2 * math.pi)
        fast = jnp.clip((turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor), 0, 1)
        return (1 - fast) * plain / self.factor + fast * plain


@dataclass(frozen=True, kw_only=True)
class Yarn(Rope):
    """YaRN: a ramp over the pairs between divided and plain frequencies (Peng et al. 2023, arXiv:2309.00071)."""

    kind = "yarn"

    factor: float
    original_max_position_embeddings: int
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    @property
    def scale(self) -> float:
        def grown(by: float) -> float:
            return 0.1 * by * math.log(self.factor) + 1.0 if self.factor > 1 else 1.0

        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return grown(self.mscale) / grown(self.mscale_all_dim)
        return grown(1.0)

    def frequencies(self, head_dim: int) -> Float[Array, " R/2"]:
        plain = super().frequencies(head_dim)
        width = 2 * len(plain)

        def pair(turns: float) -> float:
            """The pair, as a fraction, that turns so often in the original context."""
            ratio = self.original_max_position_embeddings / (turns * 2 * math.pi)
            return width * math.log(ratio) / (2 * math.log(self.rope_theta))

        low, high = pair(self.beta_fast), pair(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, width - 1)
        slow = jnp.clip((jnp.arange(len(plain)) - low) / (high - low if high != low else 0.001), 0, 1)
        return plain / self.factor * slow + plain * (1 - slow)


@dataclass(frozen=True, kw_only=True)
class LongRope(Rope):
    """LongRoPE within the original context: one factor for each pair (Ding et al. 2024, arXiv:2402.13753).

    Beyond that context another set of factors, `long_factor`, would apply to all positions of a text.
    """

    kind = "longrope"

    short_factor: tuple[float, ...]
    long_factor: tuple[float, ...]
    original_max_position_embeddings: int
    max_position_embeddings: int
    factor: float | None = None
    attention_factor: float | None = None

    @property
    def scale(self) -> float:
        if self.attention_factor is not None:
            return self.attention_factor
        factor = self.factor or self.max_position_embeddings / self.original_max_position_embeddings
        return math.sqrt(1 + math.log(factor) / math.log(self.original_max_position_embeddings)) if factor > 1 else 1.0

    @property
    def context(self) -> int:
        return self.original_max_position_embeddings

    def width(self, head_dim: int) -> int:
        width = super().width(head_dim)
        if {len(self.short_factor), len(self.long_factor)} != {width // 2}:
            raise ValueError(f"short_factor and long_factor need {width // 2} numbers, one for each rotated pair")
        return width

    def frequencies(self, head_dim: int) -> Float[Array, " R/2"]:
        return super().frequencies(head_dim) / jnp.asarray(self.short_factor, jnp.float32)


#: The types that config.json may name, by that name.
TYPES: dict[str, type[Rope]] = {rope.kind: rope for rope in (Rope, Linear, Llama3, Yarn, LongRope)}
#: Fields that config.json keeps at its top level.
TOP = ("rope_theta", "partial_rotary_factor", "max_position_embeddings")


def rope_json(rope: Rope) -> dict[str, Any]:
    """The keys of config.json, in the spelling of transformers 4, which transformers 5 reads too."""
    changed = {f.name: getattr(rope, f.name) for f in fields(rope) if getattr(rope, f.name) != f.default}
    top = {"rope_theta": rope.rope_theta} | {name: changed.pop(name) for name in TOP if name in changed}
    if rope.kind == "default":
        return top | {"rope_scaling": None}
    if rope.kind == "longrope":  # transformers 4 takes three keys alone
        top["original_max_position_embeddings"] = changed.pop("original_max_position_embeddings")
        return top | {"rope_scaling": {"type": rope.kind, **changed}}
    # Old releases of transformers read "type", new ones "rope_type".
    return top | {"rope_scaling": {"type": rope.kind, "rope_type": rope.kind, **changed}}


def rotate(x: Float[Array, "B T N H"], rotation: Rotation) -> Float[Array, "B T N H"]:
    """Rotate the pairs (x[i], x[i + R/2]) by their angles, in float32; other features pass."""
    width = 2 * rotation.angles.shape[-1]
    if width < x.shape[-1]:
        return jnp.concatenate([rotate(x[..., :width], rotation), x[..., width:]], axis=-1)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(rotation.angles), jnp.sin(rotation.angles)
    if not (isinstance(rotation.scale, float) and rotation.scale == 1.0):
        cos, sin = cos * rotation.scale, sin * rotation.scale
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)

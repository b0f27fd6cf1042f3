"""SafeMERGE: changes that leave the direction of the base's safety training are merged with a safe adapter (Djuhera et
al. 2025, arXiv:2503.17239)."""

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

import jax.numpy as jnp
from annotated_types import MinLen
from jax import Array

from jaxft.bounds import Fraction
from jaxft.data.source import Source
from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Statistics
from jaxft.methods.lora import Lora
from jaxft.methods.safe_lora import Cosine, SafeLora, below


@dataclass(frozen=True)
class SafeMerge(SafeLora):
    """LoRA; then dW <- (1 - w) dW + w dW_safe in every linear of every layer with cos(dW, dW C) < threshold.

    C as in Safe LoRA. dW_safe is a LoRA that was trained with the same settings, learning rate and seed on safe replies
    alone, and w its weight. The sum is kept as factors of twice the rank, [A, A_safe] [(1 - w) B; w B_safe].
    """

    kind = "safe_merge"
    reads = frozenset({"unaligned", "safe"})

    safe_sources: Annotated[tuple[Source, ...], MinLen(1), "at least one Source"] = field(kw_only=True)
    safe_weight: Fraction = 0.2  # of the safe adapter in a merge; the trained one has the rest
    threshold: Cosine = 0.35

    @property
    def sources(self) -> tuple[Source, ...]:
        return super().sources + self.safe_sources

    @property
    def safe_method(self) -> Lora:
        """The method that trains the safe adapter: plain LoRA with the same settings."""
        return Lora(**{f.name: getattr(self, f.name) for f in fields(Lora)})

    def finalize(self, trainable: dict[str, LowRank], base: Llama, statistics: Statistics) -> dict[str, LowRank]:
        merged = {}
        for name, (chosen, _) in below(trainable, base, statistics, self.threshold).items():
            mine, safe = trainable[name], statistics.safe[name]
            share = jnp.where(chosen, self.safe_weight, 0.0)
            a = _beside(mine.a, safe.a, axis=2)
            merged[name] = replace(mine, a=a, b=_beside((1 - share) * mine.b, share * safe.b, axis=1))
        return merged

    def trained_parameters(self, trainable: Any) -> int:
        return super().trained_parameters(trainable) // 2  # the other half is the safe adapter


def _beside(mine: Array, safe: Array, axis: int) -> Array:
    return jnp.concatenate([mine.astype(jnp.float32), safe.astype(jnp.float32)], axis)

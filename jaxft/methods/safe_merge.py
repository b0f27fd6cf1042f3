"""SafeMERGE: changes that leave the direction of the base's safety training are merged with a safe adapter (Djuhera et
al. 2025, arXiv:2503.17239)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxft import method_config
from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Given
from jaxft.methods.lora import Lora
from jaxft.methods.safe_lora import below


@dataclass(frozen=True)
class SafeMerge(Lora):
    """LoRA; then dW <- (1 - w) dW + w dW_safe in every linear of every layer where cos(dW, dW C) < threshold.

    C as in Safe LoRA. dW_safe is a LoRA that was trained with the same settings, learning rate and seed on safe replies
    alone, and w its weight. The sum is kept as factors of twice the rank, [A, A_safe] [(1 - w) B; w B_safe].
    """

    settings: method_config.SafeMerge
    needs = frozenset({"unaligned", "safe"})

    def finalize(self, trainable: dict[str, LowRank], base: Llama, given: Given) -> dict[str, LowRank]:
        weight, merged = self.settings.safe_weight, {}
        for name, (chosen, _) in below(trainable, base, given, self.settings.threshold).items():
            mine, safe = trainable[name], given.safe[name]
            share = jnp.where(chosen, weight, 0.0)
            a = _beside(mine.a, safe.a, axis=2)
            merged[name] = replace(mine, a=a, b=_beside((1 - share) * mine.b, share * safe.b, axis=1))
        return merged

    def trained_parameters(self, trainable: Any) -> int:
        return super().trained_parameters(trainable) // 2  # the other half is the safe adapter


def _beside(mine: Array, safe: Array, axis: int) -> Array:
    return jnp.concatenate([mine.astype(jnp.float32), safe.astype(jnp.float32)], axis)

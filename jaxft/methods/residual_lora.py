"""Adapters that start as a part of the weight, the rest of which is frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array

from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank, LowRankChange
from jaxft.methods.base import Statistics
from jaxft.methods.lora import Lora
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.sharding import reshard


@dataclass(frozen=True)
class ResidualLora(Lora):
    """(W - scale A0 B0) + scale A B, with A = A0 and B = B0 at the start; a subclass chooses A0 and B0.

    A0 and B0 are stored with A and B, in the dtype of trained weights, without gradient or optimizer state, so that a
    resumed run has the same decomposition. Weight decay pulls A and B toward them, which is toward the base.
    """

    def start(self, base: Llama, name: str, constants: Any) -> tuple[Array, Array]:
        """Factors [L, d, r] and [L, r, n] of the part of one linear's kernel that is trained, replicated."""
        raise NotImplementedError

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, LowRankChange]:
        self.check_model(self.kind, base.config)
        layout, root = base.compute.layout, self.scale**0.5
        adapters = {}
        for name in self.targets:
            a, b = self.start(base, name, constants)
            a, b = reshard(a / root, layout.low_rank("a")), reshard(b / root, layout.low_rank("b"))
            start = LowRank(a, b, self.scale, self.dropout)
            adapters[name] = LowRankChange(replace(start, a=jnp.copy(a), b=jnp.copy(b)), start)
        return adapters

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        adam = self.decayed(adam)

        def toward_start(updates: Any, params: Any) -> Any:
            def pull(update: LowRank, now: LowRank, start: LowRank) -> LowRank:
                a = update.a + adam.weight_decay * (now.a - start.a)
                return replace(update, a=a, b=update.b + adam.weight_decay * (now.b - start.b))

            return {
                name: replace(update, factors=pull(update.factors, params[name].factors, params[name].start))
                for name, update in updates.items()
            }

        def trained(params: dict[str, LowRankChange]) -> dict[str, LowRankChange]:
            return {name: LowRankChange(True, False) for name in params}  # pyright: ignore[reportArgumentType]

        return adamw(adam, schedule, lambda inner: optax.masked(inner, trained), optax.stateless(toward_start))

    def finalize(self, trainable: Any, base: Llama, statistics: Statistics) -> dict[str, LowRank]:
        """Plain factors of twice the rank."""
        return {name: change.as_low_rank() for name, change in trainable.items()}

    def trained_parameters(self, trainable: Any) -> int:
        return super().trained_parameters(trainable) // 2  # the other half is the start

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """LoRA's operations, and the factors of the start without their own gradients."""
        return super().flops(config, rows, length, ranks) + 2 * rows * length * self.factor_flops(config)

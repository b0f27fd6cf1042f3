"""LoRA: low-rank adapters on frozen linears (Hu et al. 2021, arXiv:2106.09685)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxft.errors import UserError
from jaxft.llama.model import Adapters, Llama
from jaxft.method_config import Adapted
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Method, Schedule, adamw
from jaxft.sharding import reshard
from jaxft.training.config import Training


def scale(settings: Adapted) -> float:
    """What A B is multiplied by: alpha / rank, or alpha / sqrt(rank) (rsLoRA, Kalajdzievski 2023, arXiv:2312.03732)."""
    return settings.alpha / (math.sqrt(settings.rank) if settings.scaling == "rslora" else settings.rank)


def decayed(training: Training, settings: Adapted) -> Training:
    """The run's settings with the weight decay of the adapters."""
    return training if settings.weight_decay is None else replace(training, weight_decay=settings.weight_decay)


@dataclass(frozen=True)
class Lora(Method):
    """W + scale A B, A uniform as in the authors' code and peft, B zero at the start."""

    settings: Adapted

    def initial(self, base: Llama, key: Array, constants: Any) -> Any:
        del constants
        self._check_rank(base)
        settings, layers, layout = self.settings, base.config.num_layers, base.compute.layout
        adapters = {}
        for number, name in enumerate(settings.targets):
            d, n = base.config.linear_shapes[name]
            bound = 1 / math.sqrt(d)  # Kaiming uniform with a = sqrt(5)
            a = jax.random.uniform(
                jax.random.fold_in(key, number), (layers, d, settings.rank), minval=-bound, maxval=bound
            )
            b = jnp.zeros((layers, settings.rank, n))
            a, b = reshard(a, layout.low_rank("a")), reshard(b, layout.low_rank("b"))
            adapters[name] = LowRank(a, b, scale(settings), settings.dropout)
        return adapters

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        return base, trainable

    def optimizer(
        self, training: Training, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        del constants, base
        return adamw(decayed(training, self.settings), schedule)

    def _check_rank(self, base: Llama) -> None:
        for name in self.settings.targets:
            width = min(base.config.linear_shapes[name])
            if not 1 <= self.settings.rank <= width:
                raise UserError(
                    f"methods: lora rank {self.settings.rank} must lie in 1..{width}, the width of linear {name!r}"
                )

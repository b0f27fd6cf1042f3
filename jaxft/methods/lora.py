"""LoRA: low-rank adapters on frozen linears (Hu et al. 2021, arXiv:2106.09685)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxft import config
from jaxft.errors import UserError
from jaxft.llama.model import Adapters, Llama
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Method
from jaxft.sharding import put


@dataclass(frozen=True)
class Lora(Method):
    """W + alpha / rank * A B, A uniform as in the authors' code and peft, B zero at the start."""

    settings: config.Lora

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, LowRank]:
        del constants
        settings, layers, layout = self.settings, base.config.num_layers, base.compute.layout
        adapters = {}
        for number, name in enumerate(settings.targets):
            d, n = base.config.linear_shapes[name]
            if not 1 <= settings.rank <= min(d, n):
                raise UserError(
                    f"methods: lora rank {settings.rank} must lie in 1..{min(d, n)}, the width of linear {name!r}"
                )
            bound = 1 / math.sqrt(d)  # Kaiming uniform with a = sqrt(5)
            a = jax.random.uniform(
                jax.random.fold_in(key, number), (layers, d, settings.rank), minval=-bound, maxval=bound
            )
            b = jnp.zeros((layers, settings.rank, n))
            a, b = put(a, layout.low_rank("a")), put(b, layout.low_rank("b"))
            adapters[name] = LowRank(a, b, settings.alpha / settings.rank, settings.dropout)
        return adapters

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        return base, trainable

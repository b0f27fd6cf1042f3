"""LoRA: low-rank adapters on frozen linears (Hu et al. 2021, arXiv:2106.09685)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from annotated_types import Predicate
from jax import Array

from jaxft.bounds import BelowOne, Count, Positive
from jaxft.errors import require
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import ALL_LINEARS, Method, Targets
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.sharding import reshard

Decay = Annotated[
    float | None,
    Predicate(lambda decay: decay is None or 0 <= decay < math.inf),
    "0 or a number above it, or None for that of training",
]


@dataclass(frozen=True)
class Lora(Method):
    """W + scale A B, A uniform as in the authors' code and peft, B zero at the start.

    For MLPs alone: targets=("gate", "up", "down").
    """

    kind = "lora"

    rank: Count = 8
    alpha: Positive = 16.0
    scaling: Literal["lora", "rslora"] = "lora"
    dropout: BelowOne = 0.0
    weight_decay: Decay = None  # of the adapters; None: training.weight_decay
    targets: Targets = ALL_LINEARS

    @property
    def scale(self) -> float:
        """Factor of A B: alpha / rank, or alpha / sqrt(rank) (rsLoRA, Kalajdzievski 2023, arXiv:2312.03732)."""
        return self.alpha / (math.sqrt(self.rank) if self.scaling == "rslora" else self.rank)

    def check_model(self, key: str, config: LlamaConfig) -> None:
        for name in self.targets:
            width = min(config.linear_shapes[name])
            fits = 1 <= self.rank <= width
            require(fits, f"{key}.rank", self.rank, f"at least 1 and at most {width}, the width of linear {name!r}")

    def initial(self, base: Llama, key: Array, constants: Any) -> Any:
        self.check_model(self.kind, base.config)
        layers, layout, adapters = base.config.num_layers, base.compute.layout, {}
        for number, name in enumerate(self.targets):
            d, n = base.config.linear_shapes[name]
            bound = 1 / math.sqrt(d)  # Kaiming uniform with a = sqrt(5)
            a = jax.random.uniform(jax.random.fold_in(key, number), (layers, d, self.rank), minval=-bound, maxval=bound)
            b = jnp.zeros((layers, self.rank, n))
            a, b = reshard(a, layout.low_rank("a")), reshard(b, layout.low_rank("b"))
            adapters[name] = LowRank(a, b, self.scale, self.dropout)
        return adapters

    def decayed(self, adam: AdamSettings) -> AdamSettings:
        """The run's settings with the weight decay of the adapters."""
        return adam if self.weight_decay is None else replace(adam, weight_decay=self.weight_decay)

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        return adamw(self.decayed(adam), schedule)

    @property
    def trained_kernels(self) -> tuple[str, ...]:
        return ()

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """A forward pass of the factors, and the gradients of their inputs and of themselves."""
        return 3 * rows * length * self.factor_flops(config)

    def factor_flops(self, config: LlamaConfig) -> int:
        """x A B of one token, in every layer."""
        return 2 * config.num_layers * self.rank * sum(sum(config.linear_shapes[name]) for name in self.targets)

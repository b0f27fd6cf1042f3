"""DoRA: direction and size of each weight column are trained separately (Liu et al. 2024, arXiv:2402.09353)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import optax
from jax import Array

from jaxft.llama import flops
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Adapters, Llama
from jaxft.methods.adapters import Decomposed, column_norms
from jaxft.methods.lora import Lora
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.sharding import reshard


@dataclass(frozen=True)
class Dora(Lora):
    """W' = m (W + scale A B) / |W + scale A B|, with m = |W| and B = 0 at the start (eq. 5).

    A column holds all weights into one output, as in the authors' code and peft. Dropout acts on the adapter's input
    alone. Weight decay acts on A and B alone: m is a size, not a change, and its decay would lead away from the base.
    """

    kind = "dora"

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, Decomposed]:
        layout = base.compute.layout
        _, _, everywhere = layout.low_rank("b")
        adapters = {}
        for name, factors in super().initial(base, key, constants).items():
            norms = column_norms(getattr(base.layers, name)[...])
            adapters[name] = Decomposed(factors, reshard(norms, jax.sharding.PartitionSpec(None, everywhere)))
        return adapters

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        return base, {
            name: replace(adapter, kernel=getattr(base.layers, name)[...]) for name, adapter in trainable.items()
        }

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        def factors(params: dict[str, Decomposed]) -> dict[str, Decomposed]:
            return {name: Decomposed(True, False) for name in params}  # pyright: ignore[reportArgumentType]

        adam = self.decayed(adam)
        return adamw(adam, schedule, decay=optax.add_decayed_weights(adam.weight_decay, factors))

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """LoRA's operations, and A B for the norms."""
        return super().flops(config, rows, length, ranks) + self.rank * flops.linears(config, self.targets)

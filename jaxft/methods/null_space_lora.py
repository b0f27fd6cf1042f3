"""Null-space LoRA: adapters that do not read the directions that reference text uses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxft.llama.config import SPACE_OF, LlamaConfig
from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Statistics
from jaxft.methods.lora import Lora
from jaxft.methods.protecting import Protecting
from jaxft.optim import AdamSettings, Schedule
from jaxft.sharding import Layout, reshard
from jaxft.subspace.basis import Basis
from jaxft.subspace.projection import gradient_projection_adamw, remove


@dataclass(frozen=True)
class NullSpaceLora(Lora, Protecting):
    """W + scale A B with A = (I - Q Q^T) A: x A B = 0 for every x in span(Q), the protected directions.

    A starts inside the free directions, and its gradients and its updates are projected onto them. These are the same
    steps as training A' with A = (I - Q Q^T) A' in the forward pass, but cost 8 k d r operations per step and none per
    token. B is free. Training B alone with a random A would be exact too, but only in r random free directions.
    """

    kind = "null_space_lora"
    reads = frozenset({"bases"})

    def constants(self, statistics: Statistics, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Basis]:
        """Bases by input space, split like A, in `dtype`; `finalize` removes the leak of its rounding."""
        spaces = {SPACE_OF[name] for name in self.targets}
        return {
            space: replace(basis, vectors=reshard(basis.vectors.astype(dtype), layout.low_rank("a")))
            for space, basis in statistics.bases.items()
            if space in spaces
        }

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, LowRank]:
        return remove(self._of_factors(constants), super().initial(base, key, constants))

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        return gradient_projection_adamw(schedule, self._of_factors(constants), **self.decayed(adam).arguments)

    def finalize(self, trainable: Any, base: Llama, statistics: Statistics) -> dict[str, LowRank]:
        """A projected once more, in float32."""
        bases = self._of_factors(self.constants(statistics, base.compute.layout))
        exact = {name: replace(factors, a=factors.a.astype(jnp.float32)) for name, factors in trainable.items()}
        return jax.jit(remove)(bases, exact)

    def _of_factors(self, bases: Mapping[str, Basis]) -> dict[str, LowRank]:
        """The basis of every A by linear; None for B, which is not projected."""
        return {
            name: LowRank(bases[SPACE_OF[name]], None, self.scale, self.dropout)  # pyright: ignore[reportArgumentType]
            for name in self.targets
        }

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """LoRA's operations, and the projections of A's gradient and of its update, 4 k d r each."""
        widths = [(config.linear_shapes[name][0], ranks[SPACE_OF[name]]) for name in self.targets]
        projections = 8 * config.num_layers * self.rank * sum(min(k, width - k) * width for width, k in widths)
        return super().flops(config, rows, length, ranks) + projections

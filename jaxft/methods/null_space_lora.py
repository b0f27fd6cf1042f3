"""Null-space LoRA: adapters that read nothing of the directions that reference text uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxft import method_config
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Llama
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Given, Schedule
from jaxft.methods.lora import Lora, decayed, scale
from jaxft.sharding import Layout, reshard
from jaxft.subspace.basis import Basis
from jaxft.subspace.projection import gradient_projection_adamw
from jaxft.training.config import Training


def _removed(bases: dict[str, Basis], adapters: dict[str, LowRank]) -> dict[str, LowRank]:
    return {
        name: replace(adapter, a=bases[SPACE_OF[name]].remove(adapter.a.astype(jnp.float32)))
        for name, adapter in adapters.items()
    }


@dataclass(frozen=True)
class NullSpaceLora(Lora):
    """W + scale A B with A = (I - Q Q^T) A: x A B = 0 for every x in span(Q), the protected directions.

    A starts inside the free directions, and its gradients and its updates are projected there: the very steps of
    training A' with A = (I - Q Q^T) A' in the forward pass, at 8 k d r operations a step and none for each token. B is
    free. Training B alone against a random A would be exact too, but is confined to r random free directions.
    """

    settings: method_config.NullSpaceLora
    needs = frozenset({"bases"})

    def constants(self, given: Given, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Basis]:
        """Bases by input space, split like A, in `dtype`; what its rounding leaks, `finalize` removes."""
        return {
            space: replace(basis, vectors=reshard(basis.vectors.astype(dtype), layout.low_rank("a")))
            for space, basis in given.bases.items()
            if space in {SPACE_OF[name] for name in self.settings.targets}
        }

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, LowRank]:
        return _removed(constants, super().initial(base, key, constants))

    def optimizer(
        self, training: Training, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        del base
        training, settings = decayed(training, self.settings), self.settings
        bases = {  # None: B passes as it is
            name: LowRank(constants[SPACE_OF[name]], None, scale(settings), settings.dropout)  # pyright: ignore
            for name in settings.targets
        }
        return gradient_projection_adamw(
            schedule,
            bases,
            clip=training.clip,
            b1=training.beta1,
            b2=training.beta2,
            weight_decay=training.weight_decay,
            moments_dtype=training.optimizer_dtype,
        )

    def finalize(self, trainable: Any, base: Llama, given: Given) -> dict[str, LowRank]:
        """A projected once more, in float32."""
        return jax.jit(_removed)(self.constants(given, base.compute.layout), trainable)

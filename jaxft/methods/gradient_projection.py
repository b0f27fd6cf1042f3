"""Gradient projection: dense changes of the linears that stay out of the directions reference text uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array

from jaxft import config
from jaxft.config import Training
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Adapters, Llama
from jaxft.methods.adapters import Dense
from jaxft.methods.base import Method, Schedule, Subspaces
from jaxft.subspace.projection import gradient_projection_adamw, moment_decay


@dataclass(frozen=True)
class GradientProjection(Method):
    """Embeddings, norms and head are frozen, so on inputs inside the protected directions nothing changes."""

    settings: config.GradientProjection

    def constants(self, subspaces: Subspaces | None) -> dict[str, Any]:
        assert subspaces is not None, "gradient projection needs calibration"
        targets, soft = self.settings.targets, self.settings.decay > 0
        return {
            "bases": {name: subspaces.bases[SPACE_OF[name]] for name in targets},
            "inputs": {name: jnp.asarray(subspaces.inputs[SPACE_OF[name]]) for name in targets} if soft else None,
            "outputs": {name: jnp.asarray(subspaces.outputs[name]) for name in targets}
            if soft and self.settings.two_sided
            else None,
        }

    def initial(self, base: Llama, key: Array) -> dict[str, Dense]:
        del key
        shapes = base.config.linear_shapes
        return {name: Dense(jnp.zeros((base.config.num_layers, *shapes[name]))) for name in self.settings.targets}

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        return base, trainable

    def optimizer(self, training: Training, schedule: Schedule, constants: Any) -> optax.GradientTransformation:
        settings = self.settings
        decay = None
        if settings.decay > 0:
            decay = moment_decay(settings.decay, constants["inputs"], constants["outputs"])
        return gradient_projection_adamw(
            schedule,
            constants["bases"],
            decay=decay,
            gradients=settings.gradients,
            updates=settings.updates,
            clip=training.clip,
            b1=training.beta1,
            b2=training.beta2,
            weight_decay=training.weight_decay,
        )

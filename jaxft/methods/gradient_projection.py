"""Gradient projection: dense changes of the linears that stay out of the directions reference text uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import PartitionSpec

from jaxft import config
from jaxft.config import Training
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Adapters, Llama
from jaxft.methods.adapters import Dense
from jaxft.methods.base import Method, Schedule, Subspaces
from jaxft.sharding import Layout, put
from jaxft.subspace.projection import gradient_projection_adamw, moment_decay


@dataclass(frozen=True)
class GradientProjection(Method):
    """Embeddings, norms and head are frozen, so on inputs inside the protected directions nothing changes."""

    settings: config.GradientProjection

    def constants(self, subspaces: Subspaces | None, layout: Layout = Layout()) -> dict[str, Any]:
        """Bases and input moments by input space, output moments by linear.

        Each is split like the axis of the weights that it multiplies, so that no weight is gathered for it.
        """
        assert subspaces is not None, "gradient projection needs calibration"
        targets, soft = self.settings.targets, self.settings.decay > 0
        found: dict[str, Any] = {"bases": {}, "inputs": {}, "outputs": {}}
        for name in targets:
            space, (d, n) = SPACE_OF[name], layout.linear(name, "trained")
            if space not in found["bases"]:
                basis = subspaces.bases[space]
                found["bases"][space] = replace(basis, vectors=put(basis.vectors, PartitionSpec(None, d, None)))
                if soft:
                    found["inputs"][space] = put(jnp.asarray(subspaces.inputs[space]), PartitionSpec(None, None, d))
            if soft and self.settings.two_sided:
                found["outputs"][name] = put(jnp.asarray(subspaces.outputs[name]), PartitionSpec(None, n, None))
        return found

    def initial(self, base: Llama, key: Array) -> dict[str, Dense]:
        del key
        layout, shapes = base.compute.layout, base.config.linear_shapes

        def zeros(name: str) -> Array:
            return put(jnp.zeros((base.config.num_layers, *shapes[name])), layout.parameter("layers", name, "trained"))

        return {name: Dense(zeros(name)) for name in self.settings.targets}

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        return base, trainable

    def optimizer(self, training: Training, schedule: Schedule, constants: Any) -> optax.GradientTransformation:
        settings = self.settings
        decay = None
        if settings.decay > 0:
            inputs = {name: constants["inputs"][SPACE_OF[name]] for name in settings.targets}
            decay = moment_decay(settings.decay, inputs, constants["outputs"] or None)
        return gradient_projection_adamw(
            schedule,
            {name: constants["bases"][SPACE_OF[name]] for name in settings.targets},
            decay=decay,
            gradients=settings.gradients,
            updates=settings.updates,
            clip=training.clip,
            b1=training.beta1,
            b2=training.beta2,
            weight_decay=training.weight_decay,
            moments_dtype=training.optimizer_dtype,
        )

"""Gradient projection: dense changes of the linears that stay out of the directions reference text uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import PartitionSpec

from jaxft import method_config
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Adapters, Llama
from jaxft.llama.sharding import linear_spec
from jaxft.methods.adapters import Dense, no_change
from jaxft.methods.base import Given, Method, Schedule
from jaxft.methods.neurons import chosen_neurons, only
from jaxft.sharding import Layout, reshard
from jaxft.subspace.basis import Basis
from jaxft.subspace.low_rank_moment import place
from jaxft.subspace.projection import gradient_projection_adamw, moment_decay
from jaxft.training.config import Training


def _removed(bases: dict[str, Basis], trainable: dict[str, Dense]) -> dict[str, Dense]:
    return {name: Dense(bases[name].remove(dense.change)) for name, dense in trainable.items()}


@dataclass(frozen=True)
class GradientProjection(Method):
    """Embeddings, norms and head are frozen, so on inputs inside the protected directions nothing changes."""

    settings: method_config.GradientProjection

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        soft = {"inputs"} if self.settings.decay > 0 else set()
        chosen = {"inputs", "base"} if self.settings.neurons else set()
        return frozenset({"bases"} | soft | chosen | ({"outputs"} if soft and self.settings.two_sided else set()))

    def constants(self, given: Given, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Any]:
        """Bases and input moments by input space, output moments and masks of neurons by linear.

        Each is split like the axis of the weights that it multiplies, so that no weight is gathered for it. Bases are
        kept in `dtype`: where activations are bfloat16, so are the products of a step's projections, which in float32
        take six times as long on a TPU and fifteen times on a GPU; what that leaks, `finalize` removes.
        """
        targets, soft = self.settings.targets, self.settings.decay > 0
        found: dict[str, Any] = {"bases": {}, "inputs": {}, "outputs": {}, "neurons": {}}
        for name in targets:
            space, (d, n) = SPACE_OF[name], linear_spec(layout, name, "trained")
            if space not in found["bases"]:
                basis = given.bases[space]
                vectors = reshard(basis.vectors.astype(dtype), PartitionSpec(None, d, None))
                found["bases"][space] = replace(basis, vectors=vectors)
                if soft:
                    found["inputs"][space] = place(given.inputs[space], d, dtype)
            if soft and self.settings.two_sided:
                found["outputs"][name] = place(given.outputs[name], n, dtype)
            if self.settings.neurons:
                assert given.base is not None
                kernel = getattr(given.base.layers, name)[...]
                mask = chosen_neurons(self.settings.neurons, kernel, jnp.asarray(given.inputs[space]))
                found["neurons"][name] = reshard(mask, PartitionSpec(None, None, n))
        return found

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, Dense]:
        del key, constants
        return no_change(base, self.settings.targets)

    def finalize(self, trainable: Any, base: Llama, given: Given) -> dict[str, Dense]:
        """All changes projected once more in float32, (I - Q Q^T) dW, and rounded as they are stored."""
        if not self.settings.updates:
            return trainable
        bases = self.constants(given, base.compute.layout)["bases"]
        return jax.jit(_removed)({name: bases[SPACE_OF[name]] for name in trainable}, trainable)

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        return base, trainable

    def optimizer(
        self, training: Training, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        del base  # what is trained is the change itself
        settings, neurons = self.settings, constants["neurons"]
        decay = None
        if settings.decay > 0:
            inputs = {name: constants["inputs"][SPACE_OF[name]] for name in settings.targets}
            decay = moment_decay(settings.decay, inputs, constants["outputs"] or None)
        bases = {name: constants["bases"][SPACE_OF[name]] for name in settings.targets}
        share = settings.gradients
        mask = only(neurons) if neurons else optax.identity()
        projected = gradient_projection_adamw(
            schedule,
            bases,
            gradient_bases={name: basis.leading(share) if share else None for name, basis in bases.items()},
            decay=optax.chain(decay, mask) if decay else mask,
            updates=settings.updates,
            clip=training.clip,
            b1=training.beta1,
            b2=training.beta2,
            weight_decay=training.weight_decay,
            moments_dtype=training.optimizer_dtype,
        )
        return optax.chain(projected, mask)

"""Freezing of layers: the safety layers of an aligned model keep their weights (Li et al. 2024, arXiv:2408.17003)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxft import method_config
from jaxft.llama.model import Llama
from jaxft.methods.base import Method, Schedule, adamw
from jaxft.training.config import Training


@dataclass(frozen=True)
class FrozenLayers(Method):
    """Full fine-tuning of all but some layers, which get no gradient and no weight decay.

    Which layers hold the safety training differs from model to model; the paper finds those of Llama-2-7B-chat in the
    middle. Layers are scanned, so the gradients of the frozen ones are computed and dropped.
    """

    settings: method_config.FrozenLayers

    def optimizer(
        self, training: Training, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        del constants
        first, last = self.settings.layers
        number = jnp.arange(base.config.num_layers)
        free = ((number < first) | (number > last)).astype(jnp.float32)

        def mask(updates: Any, params: Any) -> Any:
            del params
            masked = jax.tree.map(lambda u: u, updates)
            for owner, _, parameter in masked.parameters():
                if owner == "layers":
                    u = parameter[...]
                    parameter.set_value(u * free.reshape(-1, *[1] * (u.ndim - 1)))
            return masked

        # Before clipping, whose norm is that of what is trained; and last, for the weight decay.
        return optax.chain(optax.stateless(mask), adamw(training, schedule), optax.stateless(mask))

"""Freezing of layers: the safety layers of an aligned model keep their weights (Li et al. 2024, arXiv:2408.17003)."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from annotated_types import Predicate

from jaxft.errors import require
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Llama
from jaxft.methods.base import Method
from jaxft.optim import AdamSettings, Schedule, adamw, mask_updates

Range = Annotated[
    tuple[int, int], Predicate(lambda layers: 0 <= layers[0] <= layers[1]), "a first and a last layer, from 0"
]


@dataclass(frozen=True)
class FrozenLayers(Method):
    """Full fine-tuning of all but some layers, which get no gradient and no weight decay.

    The layers that hold the safety training differ between models; the paper finds those of Llama-2-7B-chat in the
    middle. Layers are scanned, so the gradients of the frozen ones are computed and dropped.
    """

    kind = "frozen_layers"

    layers: Range = field(kw_only=True)  # first and last frozen layer, from 0

    def check_model(self, key: str, config: LlamaConfig) -> None:
        last = config.num_layers - 1
        expected = f"a first and a last layer within 0..{last}"
        require(self.layers[1] <= last, f"{key}.layers", self.layers, expected)

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        mask = mask_updates(free_layers(base, *self.layers))
        # First, so that clipping sees the gradients of trained weights alone; last, against weight decay.
        return optax.chain(mask, adamw(adam, schedule), mask)


def free_layers(model: Llama, first: int, last: int) -> Llama:
    """Masks that broadcast against the parameters: 0 in the layers first..last, 1 elsewhere."""
    number = jnp.arange(model.config.num_layers)
    free = ((number < first) | (number > last)).astype(jnp.float32)
    masks = jax.tree.map(lambda a: jnp.ones([1] * a.ndim), model)
    for owner, _, parameter in masks.parameters():
        if owner == "layers":
            parameter.set_value(free.reshape(-1, *[1] * (parameter[...].ndim - 1)))
    return masks

"""What a fine-tuning method may decide. The training step knows nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxft.config import Training
from jaxft.llama.model import Adapters, Llama
from jaxft.methods.adapters import merge
from jaxft.sharding import Layout, put
from jaxft.subspace.basis import Basis
from jaxft.training.precision import scale_by_adam

Schedule = Callable[[Any], Any]  # step -> learning rate


@dataclass(frozen=True)
class Subspaces:
    """What calibration measured, stacked over layers.

    bases: protected bases by input space. inputs: their mean second moments [L, d, d].
    outputs: those of the output gradients, by linear; empty where not measured.
    """

    bases: Mapping[str, Basis]
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


class Method:
    """The defaults: every weight is trained with AdamW, nothing is added and nothing edited at the end.

    A subclass overrides what it needs. `trainable` is any pytree; the base model is frozen beside it.
    """

    def constants(self, subspaces: Subspaces | None, layout: Layout = Layout(), dtype: str = "float32") -> Any:
        """Arrays that the optimizer reads in every step (bases, moments); a pytree, passed to the jitted step.

        dtype: of activations, in which products with bases may be computed.
        """
        del subspaces, layout, dtype

    def initial(self, base: Llama, key: Array) -> Any:
        """The trained parameters before the first step, in float32, sharded as what is trained is.

        They are stored in `training.weights_dtype`, and every update is computed in float32.
        """
        del key
        layout = base.compute.layout
        trained = jax.tree.map(lambda a: jnp.array(a, jnp.float32), base)  # a copy: the step donates its state
        for owner, name, parameter in trained.parameters():
            parameter.set_value(put(parameter[...], layout.parameter(owner, name, "trained")))
        return trained

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        """The model that the forward pass runs: parameters and adapters."""
        del base
        return trainable, None

    def optimizer(self, training: Training, schedule: Schedule, constants: Any) -> optax.GradientTransformation:
        """The optax transform from summed, token-averaged gradients to the update."""
        del constants
        return adamw(training, schedule)

    def settle(self, trainable: Any, subspaces: Subspaces | None, layout: Layout = Layout()) -> Any:
        """The last edit of the trained parameters, after the last step."""
        del subspaces, layout
        return trainable

    def finish(self, base: Llama, trainable: Any) -> Llama:
        """The fine-tuned model: every adapter merged into its kernels in float32, other weights as they are stored."""
        return merge(*self.assemble(base, trainable))


def adamw(training: Training, schedule: Schedule) -> optax.GradientTransformation:
    """Clipped AdamW (Loshchilov and Hutter 2019)."""
    return optax.chain(
        optax.clip_by_global_norm(training.clip),
        scale_by_adam(training.beta1, training.beta2, dtype=training.optimizer_dtype),
        optax.add_decayed_weights(training.weight_decay),
        optax.scale_by_learning_rate(schedule),
    )

"""What a fine-tuning method may decide. The training step knows nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxft.llama.model import Adapters, Llama
from jaxft.methods.adapters import LowRank, merge
from jaxft.optim import scale_by_adam
from jaxft.sharding import Layout
from jaxft.subspace.basis import Basis
from jaxft.subspace.low_rank_moment import LowRankMoment
from jaxft.training.config import Training

Schedule = Callable[[Any], Any]  # step -> learning rate
#: Fields of `Given` that are measured on reference text.
MEASURED = frozenset({"bases", "inputs", "outputs", "fisher"})


@dataclass(frozen=True)
class Given:
    """What a method reads beside the base and the domain; what its `needs` do not name may be absent.

    bases: protected bases by input space. inputs: second moments of the reference text there, mean over tokens, whole
    matrices [L, d, d] or a `LowRankMoment`. outputs: those of the output gradients, by linear. fisher: the diagonal of the
    Fisher information on reference text, shaped as the parameters. base: the model that training starts from.
    unaligned: the base before its safety training. safe: an adapter of every target that was trained on safe replies.
    """

    bases: Mapping[str, Basis] = field(default_factory=dict)
    inputs: Mapping[str, np.ndarray | LowRankMoment] = field(default_factory=dict)
    outputs: Mapping[str, np.ndarray | LowRankMoment] = field(default_factory=dict)
    fisher: Llama | None = None
    base: Llama | None = None
    unaligned: Llama | None = None
    safe: Mapping[str, LowRank] = field(default_factory=dict)


class Method:
    """The defaults: every weight is trained with AdamW, nothing is added and nothing edited at the end.

    A subclass overrides what it needs. `trainable` is any pytree; the base model is frozen beside it.
    """

    #: Fields of `Given` that the method reads.
    needs: frozenset[str] = frozenset()
    #: Whether each step reads as many rows of reference text as of the domain, for `penalty`.
    reads_reference = False

    @property
    def reference(self) -> Literal["none", "before training", "while training"]:
        """When the method reads reference text."""
        if self.reads_reference:
            return "while training"
        return "before training" if self.needs & MEASURED else "none"

    def constants(self, given: Given, layout: Layout = Layout(), dtype: str = "float32") -> Any:
        """Arrays that training reads (bases, moments); a pytree, passed to the jitted step.

        dtype: of activations, in which products with bases may be computed.
        """
        del given, layout, dtype

    def initial(self, base: Llama, key: Array, constants: Any) -> Any:
        """The trained parameters before the first step, in float32, sharded as what is trained is.

        They are stored in `training.weights_dtype`, and every update is computed in float32.
        """
        del key, constants
        return jax.tree.map(lambda a: jnp.array(a, jnp.float32), base).placed("trained")  # a copy: steps donate it

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        """The model that the forward pass runs: parameters and adapters."""
        del base
        return trainable, None

    def penalty(self, base: Llama, trainable: Any, reference: Mapping[str, Array]) -> Array:
        """A term of the loss beside that of the domain, where the method `reads_reference`: a sum over the tokens of a
        batch of reference text, each counted by its weight, in nat. The weights sum to those of the domain's batch.
        """
        raise NotImplementedError

    def optimizer(
        self, training: Training, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        """The optax transform from summed, token-averaged gradients to the update."""
        del constants, base
        return adamw(training, schedule)

    def finalize(self, trainable: Any, base: Llama, given: Given) -> Any:
        """The last edit of the trained parameters, after the last step."""
        del base, given
        return trainable

    def trained_parameters(self, trainable: Any) -> int:
        """Number of parameters that were trained, of what `finalize` left."""
        return sum(leaf.size for leaf in jax.tree.leaves(trainable))

    def merge(self, base: Llama, trainable: Any) -> Llama:
        """The fine-tuned model: every adapter merged into its kernels in float32, other weights as they are stored."""
        return merge(*self.assemble(base, trainable))


def adamw(
    training: Training,
    schedule: Schedule,
    around: Callable[[optax.GradientTransformation], optax.GradientTransformation] = lambda adam: adam,
    decay: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    """Clipped AdamW (Loshchilov and Hutter 2019).

    around: what Adam's rescaling runs inside of. decay: of the weights; None: toward zero by `training.weight_decay`.
    """
    return optax.chain(
        optax.clip_by_global_norm(training.clip),
        around(scale_by_adam(training.beta1, training.beta2, dtype=training.optimizer_dtype)),
        optax.add_decayed_weights(training.weight_decay) if decay is None else decay,
        optax.scale_by_learning_rate(schedule),
    )

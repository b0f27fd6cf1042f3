"""The interface of a fine-tuning method; the training step knows nothing else about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Predicate
from jax import Array

from jaxft.bounds import Positive
from jaxft.data.source import Mix, Source
from jaxft.llama import flops
from jaxft.llama.config import LINEARS, LlamaConfig
from jaxft.llama.model import Adapters, Llama
from jaxft.methods.adapters import LowRank, merge
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.sharding import Layout
from jaxft.subspace.basis import Basis
from jaxft.subspace.low_rank_moment import LowRankMoment

#: The linears of a block by name, and the type of a knob that chooses some of them.
ALL_LINEARS = tuple(LINEARS)
Targets = Annotated[
    tuple[str, ...], Predicate(lambda t: bool(t) and set(t) <= set(ALL_LINEARS)), f"some of {ALL_LINEARS}"
]
#: Names allowed in `Method.reads`: fields of `Statistics`, measured on reference text before training ...
MEASURED = frozenset({"bases", "input_moments", "output_moments", "fisher"})
#: ... and a batch of reference text in every step, for `Method.penalty`.
REFERENCE = "reference"


@dataclass(frozen=True)
class Statistics:
    """Inputs of a method in addition to the domain; fields that its `reads` does not name may be absent.

    bases: protected bases by input space. input_moments: E[x x^T] of the reference text by input space, the mean over
    tokens, whole matrices [L, d, d] or a `LowRankMoment`. output_moments: E[g g^T] of the output gradients, by linear.
    fisher: the diagonal of the Fisher information on reference text, shaped as the parameters. base: the model that
    training starts from. unaligned: the base before its safety training. safe: an adapter of every target that was
    trained on safe replies.
    """

    bases: Mapping[str, Basis] = field(default_factory=dict)
    input_moments: Mapping[str, np.ndarray | LowRankMoment] = field(default_factory=dict)
    output_moments: Mapping[str, np.ndarray | LowRankMoment] = field(default_factory=dict)
    fisher: Llama | None = None
    base: Llama | None = None
    unaligned: Llama | None = None
    safe: Mapping[str, LowRank] = field(default_factory=dict)


class StepFlops(NamedTuple):
    """Floating-point operations of one training step. method: those that the method adds to plain training."""

    forward: int
    backward: int
    method: int

    @property
    def total(self) -> int:
        return self.forward + self.backward + self.method


@dataclass(frozen=True)
class Method:
    """The default method: AdamW trains every weight, without a penalty and without an edit at the end.

    A subclass adds its knobs as fields and overrides what it changes. The trained parameters are a pytree: a copy of
    the model, or adapters of the frozen base by linear. Methods that differ in learning rates alone are equal, and
    share compiled steps.
    """

    kind: ClassVar[str]
    #: Fields of `Statistics`, and `REFERENCE`; adapters run on the base whether it is named or not.
    reads: ClassVar[frozenset[str]] = frozenset()

    learning_rates: tuple[Positive, ...] = field(default=(), compare=False)  # to choose from
    mix: Mix | None = None  # other text mixed into the training data; None: the domain alone

    @property
    def reference(self) -> Literal["none", "before training", "while training"]:
        """The phase in which the method reads reference text."""
        if REFERENCE in self.reads:
            return "while training"
        return "before training" if self.reads & MEASURED else "none"

    @property
    def moment_rank(self) -> int:
        """Number of directions of each moment that the method reads with its diagonal; 0: whole matrices."""
        return 0

    @property
    def sources(self) -> tuple[Source, ...]:
        """Text that the method trains on in addition to the domain."""
        return self.mix.sources if self.mix else ()

    def check_model(self, key: str, config: LlamaConfig) -> None:
        """UserError for a knob that does not fit a model of this shape. key: the method's place in a config."""

    def constants(self, statistics: Statistics, layout: Layout = Layout(), dtype: str = "float32") -> Any:
        """Arrays that training reads (bases, moments): a pytree, passed to the jitted step.

        dtype: of activations, in which products with bases may be computed.
        """

    def initial(self, base: Llama, key: Array, constants: Any) -> Any:
        """The trained parameters before the first step, in float32, sharded as trained weights.

        Training stores them in `weights_dtype` of the settings and computes every update in float32.
        """
        return jax.tree.map(lambda a: jnp.array(a, jnp.float32), base).placed("trained")  # a copy: steps donate it

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        """The model that the forward pass runs: parameters and adapters."""
        return (trainable, None) if isinstance(trainable, Llama) else (base, trainable)

    def penalty(self, base: Llama, trainable: Any, reference: Mapping[str, Array]) -> Array:
        """A second term of the loss, for methods that read `REFERENCE`: a sum over a batch of reference text, in nat.

        Each token counts by its weight; the weights have the same sum as those of the domain's batch.
        """
        raise NotImplementedError

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        """The optax transform from gradients, averaged over tokens, to the update."""
        return adamw(adam, schedule)

    def finalize(self, trainable: Any, base: Llama, statistics: Statistics) -> Any:
        """The trained parameters after the method's edit at the end of training."""
        return trainable

    def trained_parameters(self, trainable: Any) -> int:
        """Number of parameters that were trained, from the result of `finalize`."""
        return sum(leaf.size for leaf in jax.tree.leaves(trainable))

    def merge(self, base: Llama, trainable: Any) -> Llama:
        """The fine-tuned model: every adapter merged into its kernels in float32, other weights unchanged."""
        return merge(*self.assemble(base, trainable))

    @property
    def trained_kernels(self) -> tuple[str, ...] | None:
        """Targets whose kernels get a full gradient while all other weights are frozen; None: no weight is frozen."""
        return None

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """Operations that the method adds to a training step on `rows` rows of `length` tokens.

        ranks: protected directions by input space.
        """
        return 0

    def step_flops(
        self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int] | None = None
    ) -> StepFlops:
        """Operations of one optimizer step, by the convention of `jaxft/llama/flops.py`.

        All layers count the same, although the first needs no gradient of a frozen input.
        """
        forward, kernels = flops.forward(config, rows, length), self.trained_kernels
        backward = 2 * forward  # gradients of inputs and of weights; attention has two inputs
        if kernels is not None:
            frozen = flops.linears(config) - flops.linears(config, kernels) + flops.head(config)
            backward -= rows * length * frozen
        return StepFlops(forward, backward, self.flops(config, rows, length, ranks or {}))

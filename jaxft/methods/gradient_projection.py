"""Gradient projection: dense changes of the linears outside of the directions that reference text uses.

The strongest directions are protected by projection (Saha et al. 2021; under Adam: Adam-NSCL, Wang et al. 2021,
arXiv:2103.07113). Changes in the others decay toward the base, weighted by the moments of the inputs and, with
`kfac_outputs`, of the output gradients: K-FAC EWC (Ritter et al. 2018, arXiv:1805.07810).
`jaxft/subspace/projection.py` has the formulas.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from annotated_types import Ge, Le
from jax import Array
from jax.sharding import PartitionSpec

from jaxft.bounds import NotNegative
from jaxft.errors import require
from jaxft.llama import flops
from jaxft.llama.config import SPACE_OF, LlamaConfig
from jaxft.llama.model import Llama
from jaxft.llama.sharding import linear_spec
from jaxft.methods.adapters import Dense, no_change
from jaxft.methods.base import Statistics
from jaxft.methods.neurons import Neurons, chosen_neurons
from jaxft.methods.protecting import Protecting
from jaxft.optim import AdamSettings, Schedule, mask_updates
from jaxft.sharding import Layout, reshard
from jaxft.subspace.low_rank_moment import is_full, place
from jaxft.subspace.projection import gradient_projection_adamw, moment_decay, remove


@dataclass(frozen=True)
class GradientProjection(Protecting):
    """Embeddings, norms and head are frozen, so that outputs for inputs in the protected directions do not change."""

    kind = "gradient_projection"

    kfac_strength: NotNegative = 0.0  # lambda of the moment-weighted decay toward the base weights
    kfac_outputs: bool = False  # weight that decay with the moments of the output gradients too
    #: Directions of each of these moments in addition to its diagonal; 0, or at least the width: whole matrices.
    kfac_rank: Annotated[int, Ge(0), "0 or more directions"] = 0
    #: Share of the protected directions, strongest first, that are projected out of gradients.
    gradients: Annotated[float, Ge(0), Le(1), "a fraction in [0, 1]"] = 1.0
    updates: bool = True  # at the end, project all protected directions out of updates
    neurons: Neurons | None = None  # None: all may change; with energy 0, no direction is protected

    def check(self, key: str) -> None:
        """UserError for incompatible knobs."""
        expected = "0 where neurons are chosen, which takes whole moments"
        require(self.neurons is None or self.kfac_rank == 0, f"{key}.kfac_rank", self.kfac_rank, expected)

    @property
    def reads(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        soft = {"input_moments", *(("output_moments",) if self.kfac_outputs else ())}
        chosen = {"input_moments", "base"}
        return frozenset({"bases"} | (soft if self.kfac_strength > 0 else set()) | (chosen if self.neurons else set()))

    @property
    def moment_rank(self) -> int:
        return self.kfac_rank

    def constants(self, statistics: Statistics, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Any]:
        """Bases and input moments by input space, output moments and masks of neurons by linear.

        Each is split like the axis of the weights that it multiplies, so that no weight is gathered for it. Bases are
        stored in `dtype`. With bfloat16 activations, a step's projections run in bfloat16 too: in float32 they take six
        times as long on a TPU and fifteen times on a GPU. `finalize` removes the leak of that rounding.
        """
        found: dict[str, Any] = {"bases": {}, "inputs": {}, "outputs": {}, "neurons": {}}
        for name in self.targets:
            space, (d, n) = SPACE_OF[name], linear_spec(layout, name, "trained")
            if space not in found["bases"]:
                basis = statistics.bases[space]
                vectors = reshard(basis.vectors.astype(dtype), PartitionSpec(None, d, None))
                found["bases"][space] = replace(basis, vectors=vectors)
                if self.kfac_strength > 0:
                    found["inputs"][space] = place(statistics.input_moments[space], d, dtype)
            if "output_moments" in self.reads:
                found["outputs"][name] = place(statistics.output_moments[name], n, dtype)
            if self.neurons:
                assert statistics.base is not None
                kernel = getattr(statistics.base.layers, name)[...]
                mask = chosen_neurons(self.neurons, kernel, jnp.asarray(statistics.input_moments[space]))
                found["neurons"][name] = reshard(mask, PartitionSpec(None, None, n))
        return found

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, Dense]:
        return no_change(base, self.targets)

    def finalize(self, trainable: Any, base: Llama, statistics: Statistics) -> dict[str, Dense]:
        """All changes projected once more in float32, (I - Q Q^T) dW, then rounded to the dtype they are stored in."""
        if not self.updates:
            return trainable
        bases = self.constants(statistics, base.compute.layout)["bases"]
        return jax.jit(remove)({name: bases[SPACE_OF[name]] for name in trainable}, trainable)

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        bases = {name: constants["bases"][SPACE_OF[name]] for name in self.targets}
        decay = mask = mask_updates(constants["neurons"]) if self.neurons else optax.identity()
        if self.kfac_strength > 0:
            inputs = {name: constants["inputs"][SPACE_OF[name]] for name in self.targets}
            decay = optax.chain(moment_decay(self.kfac_strength, inputs, constants["outputs"] or None), mask)
        projected = gradient_projection_adamw(
            schedule,
            bases,
            gradient_bases={name: q.leading(self.gradients) if self.gradients else None for name, q in bases.items()},
            decay=decay,
            updates=self.updates,
            **adam.arguments,
        )
        return optax.chain(projected, mask)

    @property
    def trained_kernels(self) -> tuple[str, ...]:
        return self.targets

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        return self.projection_flops(config, ranks) + self.decay_flops(config)

    def projection_flops(self, config: LlamaConfig, ranks: Mapping[str, int]) -> int:
        """4 k d n for each weight [d, n], for updates and, with their share of k, for gradients.

        k: stored directions of the weight's input space, those protected or those free, whichever are fewer.
        """
        products = 0
        for name in self.targets if self.gradients or self.updates else ():
            width, rank = config.linear_shapes[name][0], ranks[SPACE_OF[name]]
            stored = min(rank, width - rank)
            leading = math.ceil(self.gradients * stored) if rank == stored else stored * (self.gradients > 0)
            products += 2 * (leading + self.updates * stored) * flops.linears(config, [name])
        return products

    def decay_flops(self, config: LlamaConfig) -> int:
        """C dW, and (C dW) S with output moments: 4 r d n each for r directions, 2 d d n and 2 d n n for matrices."""
        if self.kfac_strength <= 0:
            return 0

        def side(width: int) -> int:
            return width if is_full(self.kfac_rank, width) else 2 * self.kfac_rank

        shapes = {name: config.linear_shapes[name] for name in self.targets}
        return sum(
            (side(d) + (side(n) if self.kfac_outputs else 0)) * flops.linears(config, [name])
            for name, (d, n) in shapes.items()
        )

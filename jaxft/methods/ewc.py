"""Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv:1612.00796, eq. 3).

loss + strength / 2 sum_i F_i (W_i - W0_i)^2 over all parameters, F the diagonal of the Fisher information of the base
on reference text, per token, with labels sampled from the base (`jaxft/llama/fisher.py`). With strength 1 the term is
the second-order approximation of the KL to the base in nat per token, with the diagonal of its Hessian alone. Its
gradient is added before clipping and Adam. `training.weight_decay` applies too: decoupled, toward zero.
"""

from dataclasses import dataclass
from typing import Any

import optax

from jaxft.bounds import Positive
from jaxft.llama.model import Llama
from jaxft.methods.base import Method, Statistics
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.sharding import Layout
from jaxft.subspace.projection import decay_toward


@dataclass(frozen=True)
class EWC(Method):
    """All weights are trained, and those that reference text needs are pulled toward the base."""

    kind = "ewc"
    reads = frozenset({"base", "fisher"})

    strength: Positive = 1.0

    def constants(self, statistics: Statistics, layout: Layout = Layout(), dtype: str = "float32") -> Llama:
        """The diagonal of the Fisher information, sharded as the weights it belongs to."""
        assert statistics.fisher is not None
        return statistics.fisher.placed("trained")

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        return optax.chain(decay_toward(self.strength, base, constants), adamw(adam, schedule))

"""L2-SP: an L2 penalty centred at the weights that training starts from (Li et al. 2018, arXiv:1802.01483, eq. 2).

loss + strength / 2 |W - W0|^2 over all parameters. Its gradient, strength (W - W0), is added before clipping and Adam.
`training.weight_decay` applies too: decoupled, toward zero.
"""

from dataclasses import dataclass
from typing import Any

import optax

from jaxft.bounds import Positive
from jaxft.llama.model import Llama
from jaxft.methods.base import Method
from jaxft.optim import AdamSettings, Schedule, adamw
from jaxft.subspace.projection import decay_toward


@dataclass(frozen=True)
class L2SP(Method):
    """All weights are trained and pulled toward the base."""

    kind = "l2sp"
    reads = frozenset({"base"})

    strength: Positive = 0.1

    def optimizer(
        self, adam: AdamSettings, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        return optax.chain(decay_toward(self.strength, base), adamw(adam, schedule))

"""CorDA: adapters that start as the components which reference inputs use least (Yang et al. 2024, arXiv:2406.05223),
the knowledge-preserved mode of the paper."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import PartitionSpec

from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Llama
from jaxft.methods.base import Statistics
from jaxft.methods.residual_lora import ResidualLora
from jaxft.sharding import Layout, reshard

DAMPING, INVERSE_ERROR = 0.01, 0.05  # the authors' constants


@dataclass(frozen=True)
class Corda(ResidualLora):
    """scale A0 B0 = C^-1 P_r diag(s_r) R_r^T, the r smallest components of the decomposition C W = P diag(s) R^T.

    C = E[x x^T] of reference inputs, damped until it can be inverted (see `damped`). The sum of all components is W.
    The paper has y = W x and decomposes W C, the transpose. A0 = C^-1 P_r sqrt(s_r / scale) and
    B0 = sqrt(s_r / scale) R_r^T. The moments stay on the devices during training, split like the weights.
    """

    kind = "corda"
    reads = frozenset({"input_moments"})

    def constants(self, statistics: Statistics, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Array]:
        """C by input space, [L, d, d] float32."""
        spaces = sorted({SPACE_OF[name] for name in self.targets})
        return {space: reshard(jnp.asarray(statistics.input_moments[space]), layout.low_rank("a")) for space in spaces}

    def start(self, base: Llama, name: str, constants: Any) -> tuple[Array, Array]:
        stacked = constants[SPACE_OF[name]], getattr(base.layers, name)[...]
        return lax.map(partial(_smallest, rank=self.rank), stacked)  # one layer at a time


def _smallest(layer: tuple[Array, Array], rank: int) -> tuple[Array, Array]:
    """C^-1 P_r sqrt(s_r) and sqrt(s_r) R_r^T of one layer."""
    moment, kernel = (reshard(array, PartitionSpec()).astype(jnp.float32) for array in layer)
    with jax.default_matmul_precision("highest"):
        moment = damped(moment)
        p, s, r = jnp.linalg.svd(moment @ kernel, full_matrices=False)
        root = jnp.sqrt(s[-rank:])
        return jnp.linalg.solve(moment, p[:, -rank:]) * root, root[:, None] * r[-rank:]


def damped(moment: Array) -> Array:
    """C + damping * mean(diag C) I; damping doubles from 0.01 until |C C^-1 - I| < 0.05 in float32."""
    identity = jnp.eye(moment.shape[0], dtype=moment.dtype)
    unit = jnp.mean(jnp.diag(moment)) * identity

    def poor(damping: Array) -> Array:
        trial = moment + damping * unit
        return jnp.linalg.norm(trial @ jnp.linalg.inv(trial) - identity) >= INVERSE_ERROR

    damping = lax.while_loop(poor, lambda damping: 2 * damping, jnp.asarray(DAMPING, moment.dtype))
    return moment + damping * unit

"""OSF: changes orthogonal to the weights' own leading singular directions (Nayak et al. 2025, arXiv:2504.07097).

With W = U S V^T, the first `keep` of the singular directions are frozen, and the change stays out of both of their
sides: dW = (I - U_k U_k^T) dW (I - V_k V_k^T). Full rank is left inside the complement, which is the space that the
paper's trained factors of the low part span. One share is kept in every linear, as in peft's default; the paper also
sets it by layer, after how alike a layer's input and output are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float

from jaxft import method_config
from jaxft.llama.model import Adapters, Llama
from jaxft.llama.sharding import linear_spec
from jaxft.methods.adapters import Dense, no_change
from jaxft.methods.base import Given, Method, Schedule, adamw
from jaxft.sharding import Layout, reshard
from jaxft.subspace.basis import Basis
from jaxft.training.config import Training


class Sides(NamedTuple):
    """Protected input and output directions of one linear, U_k [L, d, k] and V_k [L, n, k]."""

    inputs: Basis
    outputs: Basis

    def remove(self, x: Float[Array, "L d n"]) -> Float[Array, "L d n"]:
        """(I - U U^T) x (I - V V^T)."""
        return self.outputs.remove(self.inputs.remove(x).mT).mT


@partial(jax.jit, static_argnames="count")
def leading(kernel: Float[Array, "L d n"], count: int) -> tuple[Float[Array, "L d k"], Float[Array, "L n k"]]:
    """The first `count` left and right singular vectors of each layer's kernel, as columns; one layer at a time."""

    def one(w: Array) -> tuple[Array, Array]:
        u, _, vt = jnp.linalg.svd(reshard(w, PartitionSpec()).astype(jnp.float32), full_matrices=False)
        return u[:, :count], vt[:count].T

    return jax.lax.map(one, kernel)


def _removed(sides: Mapping[str, Sides], trainable: Mapping[str, Dense]) -> dict[str, Dense]:
    return {name: Dense(sides[name].remove(dense.change)) for name, dense in trainable.items()}


@dataclass(frozen=True)
class Osf(Method):
    """Dense changes of the linears; embeddings, norms and head are frozen."""

    settings: method_config.Osf
    needs = frozenset({"base"})

    def constants(self, given: Given, layout: Layout = Layout(), dtype: str = "float32") -> dict[str, Sides]:
        """Both sides of every linear, in `dtype`: what a step's products in bfloat16 leak, `finalize` removes."""
        base, found = given.base, {}
        assert base is not None
        for name in self.settings.targets:
            count, layers = self.settings.kept(*base.config.linear_shapes[name]), base.config.num_layers
            vectors = leading(getattr(base.layers, name)[...], count)
            axes = linear_spec(layout, name, "trained")
            found[name] = Sides(
                *(
                    Basis(reshard(side.astype(dtype), PartitionSpec(None, axis, None)), (count,) * layers)
                    for side, axis in zip(vectors, axes, strict=True)
                )
            )
        return found

    def initial(self, base: Llama, key: Array, constants: Any) -> dict[str, Dense]:
        del key, constants
        return no_change(base, self.settings.targets)

    def assemble(self, base: Llama, trainable: Any) -> tuple[Llama, Adapters | None]:
        return base, trainable

    def optimizer(
        self, training: Training, schedule: Schedule, constants: Any, base: Llama
    ) -> optax.GradientTransformation:
        """AdamW on the changes (so decay is toward the base) between two projections, of gradients and of updates."""
        del base

        def remove(updates: Any, params: Any) -> Any:
            del params
            return _removed(constants, updates)

        project = optax.stateless(remove)
        return optax.chain(project, adamw(training, schedule), project)

    def finalize(self, trainable: Any, base: Llama, given: Given) -> dict[str, Dense]:
        """All changes projected once more, in float32."""
        return jax.jit(_removed)(self.constants(given, base.compute.layout), trainable)

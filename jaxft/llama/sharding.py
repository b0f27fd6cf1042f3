"""Shardings of a Llama's arrays on a mesh, and the product of a linear there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, PartitionSpec
from jaxtyping import Array, Float

from jaxft.errors import UserError
from jaxft.llama.config import LINEARS, LlamaConfig
from jaxft.sharding import Axes, Layout, on_mesh, reshard


def linear_spec(layout: Layout, name: str, stored: str | None = None) -> PartitionSpec:
    """Spec of one layer's kernel [in, out]: in the forward pass, or as stored ("hidden" or "trained")."""
    return layout.spec(*(stored if axis == "hidden" else "tensor" for axis in LINEARS[name].axes))


def output_spec(layout: Layout, name: str) -> PartitionSpec:
    """Spec of a linear's output [rows, length, out]."""
    return PartitionSpec(*layout.rows, None, linear_spec(layout, name)[1])


def parameter_spec(layout: Layout, owner: str, name: str, stored: str) -> PartitionSpec:
    """Spec of a parameter stored as "hidden" or "trained". owner: "layers" if it is stacked over layers, else ""."""
    if name in LINEARS:
        return PartitionSpec(None, *linear_spec(layout, name, stored))
    if name == "head":
        return layout.spec(stored, "tensor")
    if name.endswith("_bias"):
        return PartitionSpec(None, linear_spec(layout, name.removesuffix("_bias"), stored)[1])
    if name in ("q_norm", "k_norm"):  # too short to split
        return PartitionSpec(None, None)
    vector = layout.vector(stored)
    return PartitionSpec(None, *vector) if owner == "layers" or name == "embed" else vector


def check_divides(mesh: Mesh | AbstractMesh, layout: Layout, config: LlamaConfig, batches: Mapping[str, int]) -> None:
    """UserError if a mesh does not divide an axis of the model or one of `batches`: numbers of rows by their names."""
    hidden = (*layout.trained, *layout.tensor)
    sizes: dict[str, tuple[int, Axes]] = {
        "num_heads": (config.num_heads, layout.tensor),
        "num_kv_heads": (config.num_kv_heads, layout.tensor),
        "vocab_size": (config.vocab_size, layout.tensor),
        "hidden_size": (config.hidden_size, hidden),
        "intermediate_size": (config.intermediate_size, hidden),
        **{name: (rows, layout.batch) for name, rows in batches.items()},
    }
    for name, (size, axes) in sizes.items():
        parts = math.prod(mesh.shape[axis] for axis in axes)
        if size % parts:
            raise UserError(
                f"{name} {size} is not a multiple of {parts}, the devices along {' x '.join(axes)}; "
                "change it, or the sharding preset and its sizes"
            )


class Dot(NamedTuple):
    """The product x @ kernel on a mesh: the kernel is gathered to the spec `kernel`, the result has spec `result`."""

    kernel: PartitionSpec
    result: PartitionSpec

    def __call__(self, x: Float[Array, "B T d"], kernel: Float[Array, "d n"]) -> Float[Array, "B T n"]:
        kernel = kernel.astype(x.dtype)
        if on_mesh():
            return _gathered_dot(self, x, kernel)
        # As rows of one matrix: XLA on CPU would transpose a three-dimensional x for the kernel's gradient.
        return jnp.matmul(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gathered_dot(dot: Dot, x: Array, kernel: Array) -> Array:
    """The product with a kernel that is gathered for it alone, and again in the backward pass. Its gradient is summed
    into the kernel's shards: a reduce-scatter, with half the bytes of the all-reduce that follows from a gather."""
    return jnp.matmul(x, reshard(kernel, dot.kernel), out_sharding=dot.result)


def _gathered_dot_forward(dot: Dot, x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _gathered_dot(dot, x, kernel), (x, kernel)


def _gathered_dot_backward(dot: Dot, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    like_x, like_kernel = (jax.typeof(a).sharding.spec for a in saved)
    whole = reshard(kernel, dot.kernel)
    return (
        jnp.einsum("btn,dn->btd", gradient, whole, out_sharding=like_x),
        jnp.einsum("btd,btn->dn", x, gradient, out_sharding=like_kernel),
    )


_gathered_dot.defvjp(_gathered_dot_forward, _gathered_dot_backward)

"""Mesh presets, and the mesh axes that split each logical axis of an array.

All meshes are explicit: every array carries its sharding in its type, so that a conflict is an error and not a silent
gather. Without a mesh (preset "single") nothing is resharded.

| preset        | mesh axes    | rows        | frozen weights | trained weights and optimizer |
|---------------|--------------|-------------|----------------|-------------------------------|
| `single`      | none         | one device  | one device     | one device                    |
| `data`        | data         | data        | copied         | data                          |
| `fsdp`        | fsdp         | fsdp        | fsdp           | fsdp                          |
| `tensor`      | tensor       | copied      | tensor         | tensor                        |
| `fsdp_tensor` | fsdp, tensor | fsdp        | fsdp, tensor   | fsdp, tensor                  |
| `multislice`  | slice, fsdp  | slice, fsdp | fsdp           | slice, fsdp                   |
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from jaxft.bounds import Count, check
from jaxft.errors import UserError

Axes = tuple[str, ...]
Preset = Literal["single", "data", "fsdp", "tensor", "fsdp_tensor", "multislice"]


@dataclass(frozen=True)
class Sharding:
    """The split of arrays over devices; the table above lists the presets."""

    preset: Preset = "single"
    tensor: Count = 2  # devices along the tensor axis of "fsdp_tensor"
    slices: Count = 2  # slices of "multislice"


@dataclass(frozen=True)
class Layout:
    """The mesh axes that split each logical axis of an array; empty if every device holds the whole axis.

    batch: rows. tensor: the axes of tensor parallelism (attention heads, MLP features, the vocabulary), in weights and
    activations. hidden: the hidden width of stored weights; a layer's weights are gathered over it when the layer
    runs. trained: the hidden width of trained weights, their gradients, optimizer state, bases and moments.
    """

    batch: Axes = ()
    tensor: Axes = ()
    hidden: Axes = ()
    trained: Axes = ()

    def __post_init__(self) -> None:
        for name in ("batch", "hidden", "trained"):
            if shared := set(getattr(self, name)) & set(self.tensor):
                raise ValueError(f"layout: {name} and tensor split one array and both use mesh axis {shared.pop()!r}")

    @property
    def rows(self) -> PartitionSpec:
        """Spec of a batch's arrays, [rows, ...]."""
        return self.spec("batch")

    def spec(self, *logical: str | None) -> PartitionSpec:
        """Spec of an array with these logical axes; None is an axis that is never split."""
        return PartitionSpec(*(None if name is None else _entry(getattr(self, name)) for name in logical))

    def vector(self, stored: str) -> PartitionSpec:
        """Spec of an array [hidden] stored as "hidden" or "trained", split over the tensor axes too."""
        return PartitionSpec(_entry((*getattr(self, stored), *self.tensor)))

    def moment(self) -> PartitionSpec:
        """Spec of one space's second moment [d, d] while it is summed: split over all devices."""
        return PartitionSpec(*self.vector("trained"), None)

    def low_rank(self, side: str) -> PartitionSpec:
        """Spec of stacked factors, "a" [layers, in, rank] or "b" [layers, rank, out]: split over all devices."""
        (everywhere,) = self.vector("trained")
        return PartitionSpec(None, everywhere, None) if side == "a" else PartitionSpec(None, None, everywhere)


def _entry(axes: Axes) -> Any:
    return None if not axes else axes[0] if len(axes) == 1 else axes


LAYOUTS: dict[Preset, Layout] = {
    "single": Layout(),
    "data": Layout(batch=("data",), trained=("data",)),
    "fsdp": Layout(batch=("fsdp",), hidden=("fsdp",), trained=("fsdp",)),
    "tensor": Layout(tensor=("tensor",)),
    "fsdp_tensor": Layout(batch=("fsdp",), tensor=("tensor",), hidden=("fsdp",), trained=("fsdp",)),
    "multislice": Layout(batch=("slice", "fsdp"), hidden=("fsdp",), trained=("slice", "fsdp")),
}


def make_mesh(settings: Sharding, devices: Sequence[Any] | None = None) -> Mesh | None:
    """The mesh of a preset over all devices (of all processes); None for "single".

    UserError if the preset is unknown or its sizes do not divide the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = _sizes(settings, len(devices))
    if not sizes:
        return None
    shape = tuple(sizes.values())
    slices = {getattr(device, "slice_index", 0) for device in devices}
    if settings.preset == "multislice" and len(slices) > 1:
        if len(slices) != settings.slices:
            raise UserError(f"Sharding.slices {settings.slices}: the devices belong to {len(slices)} slices")
        grid = mesh_utils.create_hybrid_device_mesh((1, shape[1]), (shape[0], 1), devices)
    else:
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(grid, tuple(sizes), axis_types=(AxisType.Explicit,) * len(sizes))


def abstract_mesh(settings: Sharding, count: int) -> AbstractMesh:
    """The mesh of a preset over `count` devices that are not attached; it has no axes for "single"."""
    sizes = _sizes(settings, count)
    return AbstractMesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Explicit,) * len(sizes))


def _sizes(settings: Sharding, count: int) -> dict[str, int]:
    """Number of devices along each axis of a preset's mesh."""
    check(settings, "Sharding")
    preset = settings.preset
    if preset == "single":
        return {}
    if preset == "fsdp_tensor":
        return {"fsdp": _divide(count, settings.tensor, "Sharding.tensor"), "tensor": settings.tensor}
    if preset == "multislice":
        return {"slice": settings.slices, "fsdp": _divide(count, settings.slices, "Sharding.slices")}
    return {preset: count}


def _divide(count: int, parts: int, key: str) -> int:
    if count % parts:
        raise UserError(f"{key} {parts} does not divide the {count} devices; choose a divisor of {count}")
    return count // parts


def use_mesh(mesh: Mesh | None) -> AbstractContextManager[Any]:
    """A context in which arrays are created and functions run on the mesh; None: without a mesh."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def on_mesh() -> bool:
    """True if a mesh is in use."""
    return not jax.sharding.get_abstract_mesh().empty


def out_sharding(spec: PartitionSpec) -> PartitionSpec | None:
    """`out_sharding` of an operation whose contracted axis is split: the spec on a mesh, None without one."""
    return spec if on_mesh() else None


def reshard(x: Any, spec: PartitionSpec) -> Any:
    """The same array in another sharding; unchanged without a mesh."""
    return jax.sharding.reshard(x, spec) if on_mesh() else x


def reshard_like(x: Any, other: Any) -> Any:
    """The same array in the sharding of `other`."""
    return reshard(x, jax.typeof(other).sharding.spec)


def select(values: Any, index: Any) -> Any:
    """values[..., index], one index per leading position, as a masked sum: a lookup would gather a split axis."""
    return jnp.where(jnp.arange(values.shape[-1]) == index[..., None], values, 0.0).sum(-1)


def shard_rows(batch: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Put a host batch on the mesh; every process holds all rows and transfers those of its own devices."""
    if not on_mesh():
        return dict(batch)
    sharding = NamedSharding(jax.sharding.get_mesh(), layout.rows)
    return jax.tree.map(lambda a: jax.make_array_from_callback(a.shape, sharding, a.__getitem__), dict(batch))


def chip_bytes(tree: Any) -> int:
    """Bytes of a pytree's arrays on one device, by their shardings; random keys are not counted."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        shape = leaf.shape if leaf.sharding is None else leaf.sharding.shard_shape(leaf.shape)
        total += leaf.dtype.itemsize * math.prod(shape)
    return total

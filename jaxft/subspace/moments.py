"""Second moments of activations and gradients over reference tokens, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float
from safetensors import safe_open

from jaxft.distributed import gather
from jaxft.errors import UserError
from jaxft.io import read_json, write_tensors
from jaxft.sharding import out_sharding, reshard


class Moment(NamedTuple):
    """A running sum: `total` = sum of w x x^T in float32, `weight` = sum of w."""

    total: Float[Array, "d d"]
    weight: Float[Array, ""]

    @classmethod
    def zeros(cls, width: int, spec: PartitionSpec) -> Moment:
        """The empty sum; spec: how `total` is split on a mesh."""
        return cls(reshard(jnp.zeros((width, width), jnp.float32), spec), jnp.zeros((), jnp.float32))

    def mean(self) -> np.ndarray:
        """E[x x^T], [d, d] float32; zeros if no token was added."""
        return gather(self.total) / max(float(self.weight), 1e-30)


@partial(jax.jit, donate_argnums=0)
def accumulate(moment: Moment, x: Float[Array, "... d"], weights: Float[Array, ...]) -> Moment:
    """Add tokens x with weights (0 masks padding). Uncentred; float32 at the highest matmul precision."""
    rows = PartitionSpec(jax.typeof(weights).sharding.spec[0])  # on a mesh, every device has all features of its rows
    tokens, w = reshard(x.astype(jnp.float32), rows), weights.astype(jnp.float32)
    total = jnp.einsum(
        "...d,...e->de",
        tokens * w[..., None],
        tokens,
        precision="highest",
        out_sharding=out_sharding(jax.typeof(moment.total).sharding.spec),
    )
    return Moment(moment.total + total, moment.weight + w.sum())


@dataclass(frozen=True)
class LayerMoments:
    """One layer's mean second moments, each [d, d] float32.

    inputs: by input space, on the reference tokens. heldout: the same on tokens kept out of `inputs`.
    outputs: by linear, of the gradients of -log p(label) with respect to its outputs, the labels sampled from the
    model itself (the Kronecker factor of K-FAC, Martens and Grosse 2015), or of the same at a temperature; empty if
    not requested.
    """

    inputs: Mapping[str, np.ndarray]
    heldout: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


class MomentFiles:
    """A folder of moments, one file per layer, so that one layer at a time is in memory.

    moments.json has the "format", the number of "layers", the "shapes" of one layer's arrays by "<group>/<name>", and a
    description of the data that the moments were "measured_on".
    """

    FORMAT = 2

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, list[int]] = {}  # shapes

    def write(self, index: int, layer: LayerMoments) -> None:
        """Write one layer."""
        groups = {"inputs": layer.inputs, "heldout": layer.heldout, "outputs": layer.outputs}
        arrays = {
            f"{group}/{name}": np.ascontiguousarray(a) for group, named in groups.items() for name, a in named.items()
        }
        self._written = {key: list(array.shape) for key, array in arrays.items()}
        write_tensors(self._path(index), arrays)

    def finish(self, description: Mapping[str, object]) -> None:
        """Mark the folder complete, after all layers. description: of the data that the moments were measured on."""
        header = {"format": self.FORMAT, "layers": len(self), "shapes": self._written, "measured_on": description}
        (self.folder / "moments.json").write_text(json.dumps(header, indent=1))

    @cached_property
    def _header(self) -> dict:
        """moments.json; UserError if it is damaged or of another format, or a layer's file is missing."""
        path = self.folder / "moments.json"
        header = read_json(path)
        if not isinstance(header, dict) or header.get("format") != self.FORMAT:
            raise self._refused(path, f"not of format {self.FORMAT}, which this version of jaxft reads")
        if len(self) != header["layers"]:
            raise self._refused(self.folder, f"found {len(self)} layers, moments.json has {header['layers']}")
        return header

    @property
    def description(self) -> dict:
        """The description of the data that the moments were measured on."""
        return self._header["measured_on"]

    def read(self, index: int) -> LayerMoments:
        """One layer's moments; UserError if its file is missing, damaged or of another shape."""
        path = self._path(index)
        arrays: dict[str, np.ndarray] = {}
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {key: file.get_tensor(key) for key in file.keys()}
        except Exception as error:
            raise self._refused(path, f"not a readable moments file ({error})") from error
        expected = self._header["shapes"]
        if wrong := {key: list(a.shape) for key, a in arrays.items() if list(a.shape) != expected.get(key)}:
            raise self._refused(path, f"found the shapes {wrong}, moments.json has {expected}")
        if missing := expected.keys() - arrays.keys():
            raise self._refused(path, f"lacks {', '.join(sorted(missing))}")
        groups: dict[str, dict[str, np.ndarray]] = {"inputs": {}, "heldout": {}, "outputs": {}}
        for key, array in arrays.items():
            group, name = key.split("/", 1)
            groups[group][name] = array
        return LayerMoments(**groups)

    def _refused(self, path: Path, reason: str) -> UserError:
        return UserError(f"{path}: {reason}; delete {self.folder} to measure anew")

    def __len__(self) -> int:
        return len(list(self.folder.glob("layer_*.safetensors")))

    def _path(self, index: int) -> Path:
        return self.folder / f"layer_{index:03d}.safetensors"

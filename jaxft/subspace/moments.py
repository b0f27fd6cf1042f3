"""Second moments of activations and gradients over reference tokens, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float
from safetensors import safe_open
from safetensors.numpy import save_file

from jaxft.distributed import gather
from jaxft.errors import UserError
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
        """E[x x^T], [d, d] float32; zeros where no token was seen."""
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
    model itself (the Kronecker factor of K-FAC, Martens and Grosse 2015), or of the like at a temperature; empty where
    not asked for.
    """

    inputs: Mapping[str, np.ndarray]
    heldout: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


class MomentFiles:
    """A folder of moments, one file a layer, so that one layer at a time is in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, index: int, layer: LayerMoments) -> None:
        groups = {"inputs": layer.inputs, "heldout": layer.heldout, "outputs": layer.outputs}
        arrays = {
            f"{group}/{name}": np.ascontiguousarray(a) for group, named in groups.items() for name, a in named.items()
        }
        save_file(arrays, self._path(index))

    def finish(self, description: Mapping[str, object]) -> None:
        """Mark the folder complete; `description` says what the moments were measured on."""
        (self.folder / "moments.json").write_text(json.dumps(description, indent=1))

    @property
    def description(self) -> dict:
        return json.loads((self.folder / "moments.json").read_text())

    def read(self, index: int) -> LayerMoments:
        """One layer's moments; UserError where its file is missing or damaged."""
        path = self._path(index)
        groups: dict[str, dict[str, np.ndarray]] = {"inputs": {}, "heldout": {}, "outputs": {}}
        try:
            with safe_open(path, framework="numpy") as file:
                for key in file.keys():
                    group, name = key.split("/", 1)
                    groups[group][name] = file.get_tensor(key)
        except Exception as error:
            raise UserError(
                f"{path}: not a readable moments file ({error}); delete {self.folder} to measure anew"
            ) from error
        return LayerMoments(**groups)

    def __len__(self) -> int:
        return len(list(self.folder.glob("layer_*.safetensors")))

    def _path(self, index: int) -> Path:
        return self.folder / f"layer_{index:03d}.safetensors"

"""The weights of a Llama as safetensors files, one or several with an index, written one tensor at a time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxft.distributed import gather
from jaxft.errors import UserError
from jaxft.llama.hf_tensors import DTYPES, INDEX, WEIGHTS, Parameter, parameters
from jaxft.llama.model import Llama

TAGS = {name: tag for tag, name in DTYPES.items()}  # numpy name -> safetensors name


@dataclass(frozen=True)
class Entry:
    """One tensor to write: its name, numpy dtype, shape, and a function that fetches the values."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


def entries(model: Llama) -> Iterator[Entry]:
    """Every tensor of the model as the folder stores it; values are fetched from the devices on demand."""
    for parameter in parameters(model.config):
        array = getattr(parameter.holder(model), parameter.name)[...]
        dtype = np.dtype(array.dtype).name
        if dtype not in DTYPES.values():
            raise UserError(f"parameter {parameter.name} has dtype {dtype}; expected {', '.join(DTYPES.values())}.")
        for layer, name in enumerate(parameter.tensors):

            def values(array: jax.Array = array, layer: int = layer, parameter: Parameter = parameter) -> np.ndarray:
                # JAX keeps the host's copy with the array: bring one that is thrown away.
                value = gather(array[layer] if parameter.owner else jnp.copy(array))
                return value.T if parameter.transposed else value

            yield Entry(name, dtype, parameter.shape, values)


def write_weights(model: Llama, folder: Path, max_shard_bytes: int) -> None:
    """Write all tensors into `folder`, in several files where one would pass `max_shard_bytes`."""
    shards: list[list[Entry]] = [[]]
    for entry in entries(model):
        if shards[-1] and sum(other.nbytes for other in shards[-1]) + entry.nbytes > max_shard_bytes:
            shards.append([])
        shards[-1].append(entry)
    if len(shards) == 1:
        _write_tensors(folder / WEIGHTS, shards[0])
        return
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_tensors(folder / name, shard)
        weight_map |= {entry.name: name for entry in shard}
    index = {"metadata": {"total_size": sum(e.nbytes for shard in shards for e in shard)}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_tensors(path: Path, entries: Sequence[Entry]) -> None:
    """Write a safetensors file; it is on the disk when this returns.

    One tensor is in memory at a time, which safetensors' own writer does not offer.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers insists on it
    end = 0
    for entry in entries:
        start, end = end, end + entry.nbytes
        header[entry.name] = {"dtype": TAGS[entry.dtype], "shape": list(entry.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data starts aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for entry in entries:
            file.write(np.ascontiguousarray(entry.values()).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())

"""The weights of a Llama as safetensors files: one, or several with an index."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxft.distributed import gather
from jaxft.errors import UserError
from jaxft.io import write_tensors
from jaxft.llama.hf_tensors import DTYPES, INDEX, WEIGHTS, Parameter, parameters
from jaxft.llama.model import Llama


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
    for names, group in groupby(parameters(model.config), lambda parameter: parameter.tensors):
        parts = [(parameter, getattr(parameter.holder(model), parameter.name)[...]) for parameter in group]
        dtype = np.dtype(jnp.result_type(*(array for _, array in parts))).name
        if dtype not in DTYPES.values():
            raise UserError(f"parameter {parts[0][0].name} has dtype {dtype}; expected {', '.join(DTYPES.values())}.")
        for layer, name in enumerate(names):
            yield Entry(name, dtype, parts[0][0].whole, partial(_fetch, parts, layer, dtype))


def _fetch(parts: Sequence[tuple[Parameter, jax.Array]], layer: int, dtype: str) -> np.ndarray:
    """One tensor, of one parameter or of several that the file keeps in one."""
    values = []
    for parameter, array in parts:
        # JAX caches the host's copy with the array: copy from a temporary array.
        value = gather(array[layer] if parameter.owner else jnp.copy(array))
        values.append(value.T if parameter.transposed else value)
    return values[0] if len(values) == 1 else np.concatenate([value.astype(dtype) for value in values])


def write_weights(tensors: Iterable[Entry], folder: Path, max_shard_bytes: int) -> None:
    """Write tensors into `folder`, in files of at most `max_shard_bytes` or one tensor; one file is in memory."""
    shards: list[list[Entry]] = [[]]
    for entry in tensors:
        if shards[-1] and sum(other.nbytes for other in shards[-1]) + entry.nbytes > max_shard_bytes:
            shards.append([])
        shards[-1].append(entry)
    if len(shards) == 1:
        _write_shard(folder / WEIGHTS, shards[0])
        return
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_shard(folder / name, shard)
        weight_map |= {entry.name: name for entry in shard}
    index = {"metadata": {"total_size": sum(e.nbytes for shard in shards for e in shard)}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_shard(path: Path, shard: Sequence[Entry]) -> None:
    """Write a safetensors file; it is on the disk when this returns."""
    tensors, start = {}, 0
    memory = np.empty(sum(entry.nbytes for entry in shard), np.uint8)  # one allocation: many leave gaps that stay taken
    for entry in shard:
        part = memory[start : start + entry.nbytes].view(entry.dtype).reshape(entry.shape)
        try:
            with np.errstate(over="raise"):
                part[...] = entry.values()
        except FloatingPointError as error:
            raise UserError(f"{path.name}: tensor {entry.name} is too large for {entry.dtype}.") from error
        tensors[entry.name], start = part, start + entry.nbytes
    write_tensors(path, tensors, {"format": "pt"})  # transformers insists on the format
    with path.open("rb") as file:
        os.fsync(file.fileno())

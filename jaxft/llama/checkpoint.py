"""A Llama from and to a folder in the Hugging Face layout, bit for bit."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxft.errors import UserError
from jaxft.llama.hf_config import config_json, read_config
from jaxft.llama.hf_tensors import DTYPES, INDEX, WEIGHTS, Tensors, parameters
from jaxft.llama.model import Compute, Llama

__all__ = ["content_hash", "load", "read_config", "save"]

# What else belongs to a model: the tokenizer, its chat template, the generation defaults.
CARRIED = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "generation_config.json")
TAGS = {name: tag for tag, name in DTYPES.items()}  # numpy name -> safetensors name


def load(folder: str | Path, *, dtype: str | None = "float32", compute: Compute = Compute()) -> Llama:
    """The model in `folder`: config.json and model.safetensors, or its shards.

    dtype: of the parameters; None keeps the file's. Peak memory is the model plus one parameter, stacked over the
    layers, on the host. The arrays go to JAX's default device: within `jax.default_device` of a CPU, to the host.
    UserError names the file, key or tensor that is missing, unknown, of another shape or not readable.
    """
    if dtype is not None and dtype not in DTYPES.values():
        raise UserError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES.values())}.")
    config = read_config(folder)
    model = nnx.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(0), compute=compute))
    with Tensors(folder, config) as tensors:
        for parameter in parameters(config):
            stored = {tensors.dtype(name) for name in parameter.tensors}
            if dtype is None and len(stored) > 1:
                raise UserError(
                    f"{folder}: {parameter.tensors[0]} and the same tensor of other layers have several dtypes "
                    f"({', '.join(sorted(stored))}). Load with one dtype for all."
                )
            shape = parameter.shape[::-1] if parameter.transposed else parameter.shape
            stack = np.empty((len(parameter.tensors), *shape), dtype or stored.pop())
            for slot, name in zip(stack, parameter.tensors, strict=True):
                value = tensors.read(name)
                slot[...] = value.T if parameter.transposed else value
            array = jnp.array(stack if parameter.owner else stack[0])
            setattr(_owner(model, parameter.owner), parameter.name, nnx.Param(array))
    return model


def save(
    model: Llama, folder: str | Path, *, like: str | Path | None = None, max_shard_bytes: int = 5_000_000_000
) -> None:
    """Write config.json and the weights in their own dtypes, in several files where one would pass `max_shard_bytes`.

    like: a folder whose tokenizer, chat template and generation config are carried over. All is written to a hidden
    folder beside `folder` and renamed at the end, so `folder` is complete if it exists. UserError if `folder` exists
    and is not empty, or cannot be written (disk full, no permission); then nothing is left behind.
    """
    folder, source = Path(folder), None if like is None else Path(like)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder. Nothing is overwritten; choose another.")
    if source is not None and not source.is_dir():
        raise UserError(f"{source}: no such folder to take the tokenizer from.")
    target = folder.absolute()
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        _write_weights(model, partial, max_shard_bytes)
        for path in sorted({path for pattern in CARRIED for path in source.glob(pattern)} if source else ()):
            if path.is_file():
                shutil.copyfile(path, partial / path.name)
        dtype = np.dtype(model.embed[...].dtype).name
        (partial / "config.json").write_text(config_json(model.config, dtype), encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        size = sum(entry.nbytes for entry in _entries(model))
        raise UserError(f"{folder}: cannot be written ({error}).\nThe weights take {size:,} bytes.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already after the rename


def content_hash(folder: str | Path) -> str:
    """SHA-256 (hex) of the model in `folder`: its LlamaConfig, and the name, dtype, shape and bytes of every tensor.

    It does not depend on sharding, on the order or spelling of config.json, nor on the tokenizer. A copy by `load`
    with dtype None and `save` has the same hash.
    """
    config = read_config(folder)
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    with Tensors(folder, config) as tensors:
        for name in sorted(name for parameter in parameters(config) for name in parameter.tensors):
            value = tensors.read(name)
            digest.update(json.dumps([name, tensors.dtype(name), value.shape]).encode())
            digest.update(np.ascontiguousarray(value).view(np.uint8).data)
    return digest.hexdigest()


def _owner(model: Llama, name: str) -> Any:
    return getattr(model, name) if name else model


@dataclass(frozen=True)
class _Entry:
    """One tensor to write: its name, numpy dtype, shape, and a function that fetches the values."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


def _entries(model: Llama) -> Iterator[_Entry]:
    """Every tensor of the model as the folder stores it; values are fetched from the device on demand."""
    for parameter in parameters(model.config):
        array = getattr(_owner(model, parameter.owner), parameter.name)[...]
        dtype = np.dtype(array.dtype).name
        if dtype not in DTYPES.values():
            raise UserError(f"parameter {parameter.name} has dtype {dtype}; expected {', '.join(DTYPES.values())}.")
        for layer, name in enumerate(parameter.tensors):

            def values(array: jax.Array = array, layer: int = layer, parameter: Any = parameter) -> np.ndarray:
                value = np.asarray(array[layer] if parameter.owner else array)
                return value.T if parameter.transposed else value

            yield _Entry(name, dtype, parameter.shape, values)


def _write_weights(model: Llama, folder: Path, max_shard_bytes: int) -> None:
    shards: list[list[_Entry]] = [[]]
    for entry in _entries(model):
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


def _write_tensors(path: Path, entries: Sequence[_Entry]) -> None:
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

"""Load and save a Llama as a folder in the Hugging Face layout, bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from jaxft.bounds import fit
from jaxft.distributed import barrier, gather, is_leader
from jaxft.errors import UserError
from jaxft.io import whole
from jaxft.llama.ends import write_generation
from jaxft.llama.hf_config import config_json, read_config
from jaxft.llama.hf_files import carry
from jaxft.llama.hf_tensors import FloatDtype, Parameter, Tensors, parameters
from jaxft.llama.hf_writer import entries, write_weights
from jaxft.llama.model import Compute, Llama

__all__ = ["content_hash", "load", "read_config", "save", "stored_dtypes"]


def load(
    folder: str | Path,
    *,
    dtype: str | None = "float32",
    compute: Compute = Compute(),
    sharding: Callable[[str, str], NamedSharding] | None = None,
) -> Llama:
    """The model in `folder`: config.json and model.safetensors, or its shards.

    dtype: of the parameters; None keeps the file's, and its bits, whatever they are. Else NaN and infinity are refused.
    sharding: of a parameter, given its owner ("layers" or "") and its name there; the layer axis of stacked parameters
    must be whole (else ValueError). Each process then reads only the parts that its own devices hold. None: the arrays
    go to JAX's default device; within `jax.default_device` of a CPU, to the host.

    Tensors go to the devices one by one: the host's memory holds a few copies of one tensor of one layer at a time.
    UserError names the file, key or tensor that is missing, unknown, of another shape or not readable.
    """
    fit(dtype, FloatDtype | None, "dtype")
    config = read_config(folder)
    model = nnx.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(0), compute=compute))
    tensors = Tensors(folder, config)
    for parameter in parameters(config):
        stored = {tensors.dtype(name) for name in parameter.tensors}
        if dtype is None and len(stored) > 1:
            raise UserError(
                f"{folder}: {parameter.tensors[0]} and the same tensor of other layers have several dtypes "
                f"({', '.join(sorted(stored))}). Load with one dtype for all."
            )
        placed = sharding(parameter.owner, parameter.name) if sharding else None
        array = _array(tensors, parameter, dtype or stored.pop(), placed)
        setattr(parameter.holder(model), parameter.name, nnx.Param(array))
    if dtype is not None:
        _check_finite(model, folder)
    return model


@jax.jit
def _finite(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """True for each index of the first axis, the layer of a stack, if all numbers there are finite.

    0 x is NaN if x is NaN or infinite. On CPU, adding it up is the fastest look at all numbers.
    """
    return {name: jnp.isfinite((0 * x).sum(axis=tuple(range(1, x.ndim)))) for name, x in arrays.items()}


def _check_finite(model: Llama, folder: str | Path) -> None:
    """UserError for the first tensor with NaN or infinity. One pass on the devices; nothing is read again."""
    found = parameters(model.config)
    finite = _finite({one.name: getattr(one.holder(model), one.name)[...] for one in found})
    for one in found:
        bad = ~gather(finite[one.name])
        if bad.any():
            tensor = one.tensors[int(bad.argmax()) if one.owner else 0]
            raise UserError(f"{folder}: tensor {tensor} holds NaN or infinity. Download it again, or train it anew.")


def save(
    model: Llama,
    folder: str | Path,
    *,
    like: str | Path | None = None,
    dtypes: Mapping[str, str] | None = None,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config.json and the weights, in files of at most `max_shard_bytes` or one tensor.

    dtypes: of tensors by name, to which these are rounded; others keep the model's. like: a folder whose tokenizer,
    chat templates and generation config are copied by `carry`. All files are written to a hidden folder next to
    `folder`, which is renamed at the end: if `folder` exists, it is complete. UserError if `folder` exists and is not
    empty, if a number is too large for float16, or if the disk refuses; then nothing is left behind.

    The host's memory holds the tensors of one file at a time. All processes call this; the leader writes, and the
    others return when it is done.
    """
    folder, source = Path(folder), None if like is None else Path(like)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder. Nothing is overwritten; choose another.")
    if source is not None and not source.is_dir():
        raise UserError(f"{source}: no such folder to take the tokenizer from.")
    barrier("model folder checked")
    if is_leader():
        _write(model, folder, source, dtypes or {}, max_shard_bytes)
    else:
        for entry in entries(model):
            entry.values()  # all processes gather each tensor together
    barrier("model saved")


def _write(model: Llama, folder: Path, source: Path | None, dtypes: Mapping[str, str], max_shard_bytes: int) -> None:
    tensors = [replace(entry, dtype=dtypes.get(entry.name, entry.dtype)) for entry in entries(model)]
    try:
        with whole(folder.absolute()) as scratch:
            scratch.mkdir()
            write_weights(tensors, scratch, max_shard_bytes)
            if source is not None:
                carry(source, scratch)
            write_generation(scratch, model.config.end_tokens)
            (scratch / "config.json").write_text(config_json(model.config, tensors[0].dtype), encoding="utf-8")
    except UserError as error:
        size = sum(entry.nbytes for entry in tensors)
        raise UserError(f"{error}\nThe weights take {size:,} bytes.") from error


def stored_dtypes(folder: str | Path) -> dict[str, str]:
    """The dtype of every tensor of the model in `folder`, by name."""
    config = read_config(folder)
    tensors = Tensors(folder, config)
    return {name: tensors.dtype(name) for parameter in parameters(config) for name in parameter.tensors}


def content_hash(folder: str | Path) -> str:
    """SHA-256 (hex) of the model in `folder`: its LlamaConfig, and the name, dtype, shape and bytes of every tensor.

    It does not depend on sharding, on the order or spelling of config.json, nor on the tokenizer, and of the end tokens
    only on the first. A copy by `load` with dtype None and `save` has the same hash.
    """
    config = read_config(folder)
    digest = hashlib.sha256(json.dumps(config.identity(), sort_keys=True).encode())
    tensors = Tensors(folder, config)
    for name in sorted({name for parameter in parameters(config) for name in parameter.tensors}):
        value = tensors.read(name)
        digest.update(json.dumps([name, tensors.dtype(name), value.shape]).encode())
        digest.update(np.ascontiguousarray(value).view(np.uint8).data)
    return digest.hexdigest()


def _array(tensors: Tensors, parameter: Parameter, dtype: str, sharding: NamedSharding | None) -> jax.Array:
    """A parameter on its devices; a stacked one is filled there in place, layer by layer."""
    if not parameter.owner:
        return _layer(tensors, parameter, parameter.tensors[0], dtype, sharding)
    each = None
    if sharding is not None:
        layers, *rest = (*sharding.spec, None)
        if layers is not None:
            raise ValueError(f"{parameter.name}: the layer axis is sharded over {layers!r}; each layer must be whole.")
        each = NamedSharding(sharding.mesh, PartitionSpec(*rest[: len(parameter.shape)]))
    shape = (len(parameter.tensors), *_turned(parameter, parameter.shape))
    stack = jax.jit(jnp.zeros, static_argnums=(0, 1), out_shardings=sharding)(shape, dtype)
    write = jax.jit(_write_layer, donate_argnums=0, out_shardings=sharding)
    for index, name in enumerate(parameter.tensors):
        stack = write(stack, _layer(tensors, parameter, name, dtype, each), index)
        stack.block_until_ready()  # otherwise the host runs ahead and holds many layers
    return stack


def _write_layer(stack: jax.Array, layer: jax.Array, index: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(stack, layer, index, axis=0)


def _layer(tensors: Tensors, parameter: Parameter, name: str, dtype: str, sharding: NamedSharding | None) -> jax.Array:
    """One tensor in the Llama's axis order, on its devices."""
    if sharding is None:
        return jnp.array(_values(tensors, parameter, name, dtype, ()))
    parts: dict[str, np.ndarray] = {}  # devices that hold the same part share one read

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        if (key := str(index)) not in parts:
            parts[key] = _values(tensors, parameter, name, dtype, index)
        return parts[key]

    return jax.make_array_from_callback(_turned(parameter, parameter.shape), sharding, part)


def _values(tensors: Tensors, parameter: Parameter, name: str, dtype: str, part: tuple[slice, ...]) -> np.ndarray:
    part = _turned(parameter, part)
    if parameter.rows not in (None, parameter.shape[0]):  # the tensor holds other parameters too
        start, stop, _ = (part[0] if part else slice(None)).indices(parameter.shape[0])
        part = (slice(parameter.first + start, parameter.first + stop), *part[1:])
    value = tensors.read(name, part)
    return np.ascontiguousarray(value.T if parameter.transposed else value, dtype)


def _turned(parameter: Parameter, axes: tuple) -> tuple:
    """The axes in the order of the Llama, from those in the file, or the other way round."""
    return axes[::-1] if parameter.transposed else axes

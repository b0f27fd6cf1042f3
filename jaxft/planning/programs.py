"""Programs of jaxft, lowered from shapes alone: the training step, calibration, generation.

All functions are called on the mesh. Arrays that stay on the devices without being arguments are counted too.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxft.data.packing import FIELDS
from jaxft.llama import flops
from jaxft.llama.capture import run_block
from jaxft.llama.config import INPUT_SPACES, LlamaConfig
from jaxft.llama.generate import BUCKET, decode
from jaxft.llama.model import Compute, Llama, layer_slice
from jaxft.llama.sharding import parameter_spec
from jaxft.llama.sight import local_layers
from jaxft.methods.base import REFERENCE, Method, Statistics
from jaxft.sharding import chip_bytes, reshard
from jaxft.subspace.basis import Basis
from jaxft.subspace.low_rank_moment import LowRankMoment, is_full
from jaxft.subspace.moments import Moment, accumulate
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step


@dataclass(frozen=True)
class Part:
    """One lowered function, its number of runs, and the bytes on a chip in addition to its arguments while it runs."""

    lowered: Any
    times: int = 1
    beside: int = 0


@dataclass(frozen=True)
class Program:
    """One row of a plan.

    held: bytes of one chip by kind of stored array. reads: number of times that all of them are read from memory.
    flops: operations of the whole program by formula. tokens: number of tokens that it processes.
    """

    name: str
    rows: int
    length: int
    parts: tuple[Part, ...]
    flops: int
    tokens: int
    held: dict[str, int] = field(default_factory=dict)
    reads: int = 1

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of its plan that do not depend on the devices."""
        held = {part: self.held.get(part, 0) for part in ("parameters", "trained", "optimizer", "constants")}
        sizes = {"rows": self.rows, "length": self.length, "tokens": self.tokens}
        return {"program": self.name, **sizes, "flops": float(self.flops), **held}


def abstract_base(model: LlamaConfig, compute: Compute, dtype: str) -> Llama:
    """The base model as shapes, dtypes and shardings alone."""

    def make() -> Llama:
        base = Llama(model, rngs=nnx.Rngs(0), dtype=dtype, compute=compute)
        for owner, name, parameter in base.parameters():
            parameter.set_value(reshard(parameter[...], parameter_spec(compute.layout, owner, name, "hidden")))
        return base

    return jax.eval_shape(make)


def step(name: str, method: Method, training: Training, base: Llama, rank: int, *, lower: bool = True) -> Program:
    """A method's training step, with bases of `rank` directions; without `lower`, only its sizes and operations."""
    constants, key = _constants(method, base, rank), jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(lambda b, c, k: initial_state(method, training, b, c, k), base, constants, key)
    kept = {"parameters": base, "trained": state.trainable, "optimizer": state.optimizer, "constants": constants}
    held, parts = {part: chip_bytes(tree) for part, tree in kept.items()}, ()
    if lower:
        rate, batch = jax.ShapeDtypeStruct((), jnp.float32), _rows(base, training.batch_rows, training.row_length)
        if REFERENCE in method.reads:
            batch = {**batch, "reference": batch}
        lowered = make_step(method, training).lower(state, base, constants, batch, rate)  # pyright: ignore
        # A base that the step does not read is not an argument, but stays on the devices.
        unread = isinstance(state.trainable, Llama) and "base" not in method.reads
        parts = (Part(lowered, beside=held["parameters"] if unread else 0),)
    rows, length = training.batch_rows, training.row_length
    ranks = {space: min(rank, width // 2) for space, width in _widths(base.config).items()}
    work = method.step_flops(base.config, rows, length, ranks).total
    return Program(name, rows, length, parts, work, rows * length, held)


def calibration(rows: int, length: int, base: Llama) -> Program:
    """One batch of reference text through all layers, and the moments of every linear's input.

    Calibration stores the hidden states of all batches between layers; those of this batch alone are counted.
    """
    model, layout, layers = base.config, base.compute.layout, base.config.num_layers
    batch = _rows(base, rows, length)
    layer, local = jax.eval_shape(lambda stacked: layer_slice((stacked, local_layers(model)), 0), base.layers)

    def zeros() -> Array:
        return reshard(
            jnp.zeros((rows, length, model.hidden_size), base.compute.dtype), layout.spec("batch", None, None)
        )

    x = jax.eval_shape(zeros)
    arguments = (model, layout, layer, x, batch, local)
    out, inputs = run_block.eval_shape(*arguments)
    sums = {
        space: jax.eval_shape(lambda width=width: Moment.zeros(width, layout.moment()))
        for space, width in _widths(model).items()
    }
    held = {"parameters": chip_bytes(base), "constants": 2 * chip_bytes(sums)}  # of fitted and of held-out tokens
    parts = [Part(run_block.lower(*arguments), layers, beside=sum(held.values()))]
    for space in {width: space for space, width in _widths(model).items()}.values():  # one space of each width
        same = [other for other in sums if _widths(model)[other] == _widths(model)[space]]
        weights = jax.eval_shape(lambda: reshard(jnp.zeros((rows, length)), layout.rows))
        beside = sum(held.values()) + chip_bytes((out, inputs)) - chip_bytes((sums[space], inputs[space]))
        parts.append(Part(accumulate.lower(sums[space], inputs[space], weights), layers * len(same), beside))
    work = flops.blocks(model, rows, length) + flops.moments(model, rows * length)
    return Program("calibration", rows, length, tuple(parts), work, rows * length, held)


def generation(rows: int, length: int, new_tokens: int, base: Llama) -> Program:
    """A batch of replies to prompts of `length` tokens, by the base without adapters."""
    length = -(-length // BUCKET) * BUCKET
    key = jax.eval_shape(lambda: jax.random.key(0))
    prompts, lengths = jax.ShapeDtypeStruct((rows, length), jnp.int32), jax.ShapeDtypeStruct((rows,), jnp.int32)
    lowered = decode.lower(base, prompts, lengths, key, max_new_tokens=new_tokens)
    work = flops.prefill(base.config, rows, length) + flops.decode(base.config, rows, length, new_tokens)
    held = {"parameters": chip_bytes(base)}
    return Program("generation", rows, length, (Part(lowered),), work, rows * new_tokens, held, reads=new_tokens)


def _widths(model: LlamaConfig) -> dict[str, int]:
    """Number of features of each input space."""
    return {space: model.linear_shapes[names[0]][0] for space, names in INPUT_SPACES.items()}


def _rows(base: Llama, rows: int, length: int) -> dict[str, Any]:
    """An abstract batch."""

    def make() -> dict[str, Array]:
        spec, dtypes = base.compute.layout.rows, {name: jnp.int32 for name in FIELDS} | {"weights": jnp.float32}
        return {name: reshard(jnp.zeros((rows, length), dtype), spec) for name, dtype in dtypes.items()}

    return jax.eval_shape(make)


def _constants(method: Method, base: Llama, rank: int) -> Any:
    """A method's abstract constants, with bases of `rank` directions (at most half of the width)."""
    model, layers, directions = base.config, base.config.num_layers, method.moment_rank

    def moment(width: int) -> Any:
        if is_full(directions, width):
            return jnp.zeros((layers, width, width))
        vectors, values = jnp.zeros((layers, width, directions)), jnp.zeros((layers, directions))
        return LowRankMoment(vectors, values, jnp.zeros((layers, width)))

    def make(base: Llama) -> Any:
        bases = {
            space: Basis(jnp.zeros((layers, width, min(rank, width // 2))), (min(rank, width // 2),) * layers)
            for space, width in _widths(model).items()
        }
        inputs = {space: moment(width) for space, width in _widths(model).items()}
        outputs = {name: moment(n) for name, (_, n) in model.linear_shapes.items()}
        fisher = jax.tree.map(lambda a: a.astype(jnp.float32), base)
        statistics = Statistics(bases, inputs, outputs, fisher=fisher, base=base)
        return method.constants(statistics, base.compute.layout, base.compute.dtype)

    return jax.eval_shape(make, base)

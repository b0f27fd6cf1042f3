"""Compile the real training step for a slice that nobody has attached, and say what fits.

The TPU compiler (`pip install libtpu`) needs no TPU: it compiles for a named topology and says how much memory every
chip will need and which collectives run. Without a topology, the step is compiled for the attached device.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental import topologies

from jaxft import config, flops, methods
from jaxft.config import Sharding, Training
from jaxft.errors import UserError
from jaxft.hlo import collective_bytes
from jaxft.llama.config import INPUT_SPACES, LlamaConfig
from jaxft.llama.model import Compute, Llama
from jaxft.methods.base import Method, Subspaces
from jaxft.sharding import make_mesh, put, use
from jaxft.subspace.basis import Basis
from jaxft.training.step import initial_state, make_step


@dataclass(frozen=True)
class Chip:
    """What a TPU's maker states of one chip: dense bf16 FLOP/s, bytes/s of its memory and of its links to others."""

    flops: float
    memory_bandwidth: float
    link_bandwidth: float


#: Google Cloud's TPU documentation, "System architecture", one page a generation.
CHIPS = {
    "v4": Chip(275e12, 1228e9, 300e9),
    "v5e": Chip(197e12, 819e9, 200e9),
    "v5p": Chip(459e12, 2765e9, 600e9),
    "v6e": Chip(918e12, 1640e9, 448e9),
}


@dataclass(frozen=True)
class Plan:
    """One method's training step on one topology; bytes are of one chip, times in seconds.

    peak: arguments, temporaries and code at once, as the compiler lays them out. collectives: bytes that arrive at a
    chip in one step, by kind. flops: of the whole step by formula, without recomputation. roofline: the longest of
    computing at the stated peak, reading every argument once, and moving the collectives, all perfectly overlapped:
    no step is faster. error: what the compiler said where it does not fit.
    """

    topology: str
    chips: int
    method: str
    rows: int
    length: int
    fits: bool
    parameters: int
    trained: int
    optimizer: int
    constants: int
    temporaries: int | None
    peak: int | None
    collectives: dict[str, int]
    largest_collective: int
    flops: float
    roofline: float | None
    compile_seconds: float
    error: str | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Of one chip, at the roofline."""
        return None if self.roofline is None else self.rows * self.length / self.chips / self.roofline


@cache  # asked for when the mesh is checked and for every method
def topology_devices(name: str) -> list[Any]:
    """The devices of a TPU topology such as "v5e:4x4"; UserError where there is no compiler or no such name."""
    # Off a TPU virtual machine libtpu looks for its metadata; these keep it from asking the network.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # several plans at a time share no chip
    generation = name.split(":")[0]
    if generation not in CHIPS or ":" not in name:
        raise UserError(
            f"--topology {name!r}: expected GENERATION:SHAPE, for instance v5e:4x4 or v4:2x2x2; "
            f"known generations: {', '.join(CHIPS)}"
        )
    options = {"chip_config_name": "megacore"} if generation in ("v4", "v5p") else {}
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices)
    except Exception as error:  # the compiler's plug-in raises several kinds
        said = str(error).splitlines()[0][:200]
        raise UserError(
            f"--topology {name!r}: the TPU compiler refused it ({said}).\n"
            "It comes with `pip install libtpu`; shapes are those of Google Cloud, such as 2x4 for v5e or 2x2x1 for v4"
        ) from error


def abstract_base(model: LlamaConfig, compute: Compute, dtype: str) -> Llama:
    """The base as shapes, dtypes and shardings alone; call it on the mesh."""

    def make() -> Llama:
        base = Llama(model, rngs=nnx.Rngs(0), dtype=dtype, compute=compute)
        for owner, name, parameter in base.parameters():
            parameter.set_value(put(parameter[...], compute.layout.parameter(owner, name, "hidden")))
        return base

    return jax.eval_shape(make)


def abstract_constants(method: Method, base: Llama, rank: int) -> Any:
    """What a method keeps beside its optimizer, with bases of `rank` directions (at most half of the width)."""
    model = base.config
    widths = {space: model.linear_shapes[names[0]][0] for space, names in INPUT_SPACES.items()}

    def make() -> Any:
        layers = model.num_layers
        bases = {
            space: Basis(jnp.zeros((layers, width, min(rank, width // 2))), (min(rank, width // 2),) * layers)
            for space, width in widths.items()
        }
        inputs = {space: jnp.zeros((layers, width, width)) for space, width in widths.items()}
        outputs = {name: jnp.zeros((layers, n, n)) for name, (_, n) in model.linear_shapes.items()}
        return method.constants(Subspaces(bases, inputs, outputs), base.compute.layout)  # pyright: ignore

    return jax.eval_shape(make)


def lower_step(method: Method, training: Training, base: Llama, rank: int) -> tuple[Any, dict[str, Any]]:
    """(the lowered training step, its abstract arguments by what they are)."""
    constants = abstract_constants(method, base, rank)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(lambda b, c, k: initial_state(method, training, b, c, k), base, constants, key)

    def rows() -> dict[str, Any]:
        shape, spec = (training.batch_rows, training.row_length), base.compute.layout.rows
        names = ("tokens", "positions", "segments", "targets")
        whole = {**{name: jnp.zeros(shape, jnp.int32) for name in names}, "weights": jnp.zeros(shape)}
        return {name: put(a, spec) for name, a in whole.items()}

    rate = jax.ShapeDtypeStruct((), jnp.float32)
    step: Any = make_step(method, training)
    lowered = step.lower(state, base, constants, jax.eval_shape(rows), rate)
    held = {"parameters": base, "trained": state.trainable, "optimizer": state.optimizer, "constants": constants}
    return lowered, held


def plan_step(
    name: str,
    settings: config.Method,
    model: LlamaConfig,
    training: Training,
    compute: Compute,
    sharding: Sharding,
    *,
    dtype: str,
    topology: str | None,
    rank: int,
) -> Plan:
    """Compile one method's step for a topology, or for the attached devices where None."""
    devices = jax.devices() if topology is None else topology_devices(topology)
    mesh, method = make_mesh(sharding, devices), methods.build(settings)
    chips = 1 if mesh is None else len(devices)
    began, error, compiled = time.perf_counter(), None, None
    with use(mesh):
        base = abstract_base(model, compute, dtype)
        lowered, held = lower_step(method, training, base, rank)
        bytes_of = {part: chip_bytes(tree) for part, tree in held.items()}
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as refused:
            if "RESOURCE_EXHAUSTED" not in str(refused) and "CompileTimeHbmOom" not in str(refused):
                raise
            error = next((line.strip() for line in str(refused).splitlines() if "xceed" in line), str(refused)[:300])
    seconds = time.perf_counter() - began
    ranks = {space: min(rank, model.linear_shapes[n[0]][0] // 2) for space, n in INPUT_SPACES.items()}
    total = flops.train_step(model, settings, training.batch_rows, training.row_length, ranks).total
    found: dict[str, Any] = {"temporaries": None, "peak": None, "collectives": {}, "largest_collective": 0}
    if compiled is not None:
        memory = compiled.memory_analysis()
        # The frozen base stays resident where the step does not read it (full fine-tuning).
        unread = bytes_of["parameters"] if isinstance(settings, config.Full) else 0
        found["temporaries"] = int(memory.temp_size_in_bytes)
        found["peak"] = unread + planned_bytes(memory) + int(memory.generated_code_size_in_bytes)
        found["collectives"], found["largest_collective"] = collective_bytes(compiled.as_text())
    return Plan(
        topology=topology or f"attached {devices[0].device_kind}",
        chips=chips,
        method=name,
        rows=training.batch_rows,
        length=training.row_length,
        fits=compiled is not None,
        **bytes_of,
        **found,
        flops=float(total),
        roofline=_roofline(topology, chips, total, bytes_of, found["collectives"]) if compiled is not None else None,
        compile_seconds=round(seconds, 1),
        error=error,
    )


def _roofline(
    topology: str | None, chips: int, total: float, bytes_of: Mapping[str, int], moved: Mapping[str, int]
) -> float | None:
    chip = None if topology is None else CHIPS[topology.split(":")[0]]
    if chip is None:
        return None
    return max(
        total / chips / chip.flops,
        sum(bytes_of.values()) / chip.memory_bandwidth,
        sum(moved.values()) / chip.link_bandwidth,
    )


def planned_bytes(memory: Any) -> int:
    """Of a compiled program: what goes in and comes out, counted once where donated, and temporaries."""
    kept = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return int(kept + memory.temp_size_in_bytes)


def chip_bytes(tree: Any) -> int:
    """Bytes of a pytree's arrays on one device, by their shardings."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        shape = leaf.shape if leaf.sharding is None else leaf.sharding.shard_shape(leaf.shape)
        total += leaf.dtype.itemsize * math.prod(shape)
    return total


def to_json(plans: list[Plan]) -> list[dict[str, Any]]:
    """The plans as a record holds them."""
    return [{**asdict(plan), "tokens_per_second_per_chip": plan.tokens_per_second} for plan in plans]

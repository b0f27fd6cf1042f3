"""`python -m tests.jaxft.planning.measured_memory METHOD`: what a step was planned to take, and what it took.

A process of its own, as what others allocated before would hide in it. Prints two numbers of bytes.
"""

import ctypes
import gc
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from jaxft import methods
from jaxft.llama.config import INPUT_SPACES, LlamaConfig
from jaxft.llama.model import Compute, Llama
from jaxft.methods.base import Statistics
from jaxft.planning import programs
from jaxft.planning.plan import plan_program
from jaxft.subspace.basis import Basis
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step

SHAPE = LlamaConfig(4096, 512, 1376, 6, 8, 8, 64, 256)
TRAINING = Training(steps=10, batch_rows=8, row_length=256)
METHODS: dict[str, methods.Method] = {
    "full": methods.Full(()),
    "lora": methods.Lora((), rank=8),
    "projection": methods.GradientProjection(()),
}
RANK = 64


def resident(field: str) -> int:
    """A size of this process in bytes: "VmRSS" now, "VmHWM" the most since it was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def finalize() -> None:
    """Give freed memory back to the system and forget the highest size."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def main(name: str) -> None:
    settings, compute = METHODS[name], Compute()

    def lower(base: Llama) -> programs.Program:
        return programs.step(name, settings, TRAINING, base, RANK)

    plan = plan_program(
        "attached",
        None,
        None,
        lambda: lower(programs.abstract_base(SHAPE, compute, "float32")),
        remat=compute.remat,
        accumulation=1,
        limit=None,
    )
    train(name, compute)  # code, thread pools and allocators take their memory once
    print(plan.peak, min(measured(name, compute) for _ in range(3)))  # allocators never take less than is needed


def measured(name: str, compute: Compute) -> int:
    """Bytes that this process grew by at most."""
    finalize()
    before = resident("VmRSS")
    train(name, compute)
    return resident("VmHWM") - before


def train(name: str, compute: Compute) -> None:
    """One step on arrays of its own; the highest size is that of the step."""
    base, method = Llama(SHAPE, rngs=nnx.Rngs(0), compute=compute), METHODS[name]
    given = Statistics()
    if name == "projection":
        shapes = {space: SHAPE.linear_shapes[names[0]][0] for space, names in INPUT_SPACES.items()}
        layers = SHAPE.num_layers
        bases = {s: Basis(jnp.ones((layers, width, RANK)), (RANK,) * layers) for s, width in shapes.items()}
        given = Statistics(bases)
    constants = method.constants(given)
    state = initial_state(method, TRAINING, base, constants, jax.random.key(0))
    shape = (TRAINING.batch_rows, TRAINING.row_length)
    rows = {field: jnp.ones(shape, jnp.int32) for field in ("tokens", "positions", "segments", "targets")}
    rows["weights"] = jnp.ones(shape)
    step = make_step(method, TRAINING)
    finalize()
    jax.block_until_ready(step(state, base, constants, rows, 1e-3))


if __name__ == "__main__":
    main(*sys.argv[1:])

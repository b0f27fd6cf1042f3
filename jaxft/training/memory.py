"""Whether a training step fits the devices, asked before the first one runs."""

from __future__ import annotations

import math
from typing import Any

import jax

from jaxft.errors import DoesNotFit
from jaxft.sharding import chip_bytes
from jaxft.training.config import Training
from jaxft.training.device_memory import GIB, added_bytes, free_memory, planned_bytes, refusal


def check_memory(step: Any, arguments: tuple[Any, ...], training: Training) -> dict[str, int]:
    """Bytes on one device that a step takes at its peak as compiled, and of these what is trained, the optimizer's
    state and the method's constants. DoesNotFit where more is needed than is free, with what would fit.

    step, arguments: the jitted step of `make_step` and what it will be called with, which is on the devices already. It
    is compiled here, once for all calls.
    """
    state, base, constants, _, _ = arguments
    shards = math.prod(jax.sharding.get_mesh().shape[axis] for axis in base.compute.layout.batch)
    try:
        memory = step.lower(*arguments).compile().memory_analysis()
    except jax.errors.JaxRuntimeError as error:
        if (said := refusal(error)) is None:
            raise
        advice = _advice(training, shards, None)
        raise DoesNotFit(f"the training step does not fit: the compiler says {said}\n{advice}") from error
    needed = added_bytes(memory)
    free = free_memory(jax.local_devices()[0])
    if free is not None and needed > free:
        fixed = chip_bytes(state.trainable)  # the gradients, whatever the rows
        share = (free - fixed) / max(needed - fixed, 1)
        raise DoesNotFit(
            f"the training step needs {needed / GIB:.2f} GiB on each device beside what is there, and "
            f"{max(free, 0) / GIB:.2f} GiB are free.\n{_advice(training, shards, share)}"
        )
    parts = {"trained_bytes": state.trainable, "optimizer_bytes": state.optimizer, "constants_bytes": constants}
    return {"peak_bytes": planned_bytes(memory), **{name: chip_bytes(tree) for name, tree in parts.items()}}


def _advice(training: Training, shards: int, share: float | None) -> str:
    """What would fit. shards: devices that rows are split over. share: of a microbatch's rows that fits, if known."""
    if share is None or share <= 0:
        return "Spread it over more devices, or recompute all activations (remat 'full')."
    rows, present = training.batch_rows, training.accumulation
    fitting = (n for n in range(present + 1, rows + 1) if rows % (n * shards) == 0 and n * share >= present)
    if (parts := next(fitting, None)) is None:
        return "Recompute all activations (remat 'full'), or train with fewer Training.batch_rows."
    return f"Training.accumulation {parts} should fit, and changes no result."

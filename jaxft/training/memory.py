"""Device memory: bytes that programs need, bytes that are free, and the check that a training step fits."""

import math
import os
from pathlib import Path
from typing import Any

import jax

from jaxft.errors import DoesNotFit
from jaxft.sharding import chip_bytes
from jaxft.training.config import Training

GIB = 2**30
MEMINFO = Path("/proc/meminfo")


def planned_bytes(memory: Any) -> int:
    """Bytes of a compiled program: arguments, temporaries and results, except for results in donated arguments."""
    return int(memory.argument_size_in_bytes) + added_bytes(memory)


def added_bytes(memory: Any) -> int:
    """Bytes of a compiled program without its arguments."""
    return int(memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes)


def refusal(error: Exception) -> str | None:
    """The compiler's message about a program that does not fit; None if it failed for another reason."""
    text = str(error)
    if "RESOURCE_EXHAUSTED" not in text and "CompileTimeHbmOom" not in text:
        return None
    return next((line.strip() for line in text.splitlines() if "xceed" in line), " ".join(text.split())[:300])


def memory_limit(device: Any) -> int | None:
    """Bytes that programs may use on an attached device; None if unknown. CPU devices share the machine's memory."""
    if device.platform == "cpu":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // device.client.local_device_count()
    return (device.memory_stats() or {}).get("bytes_limit")


def free_memory(device: Any) -> int | None:
    """Bytes that are free on a device; None if unknown. CPU devices share the machine's memory."""
    found = device.memory_stats() or {}
    if "bytes_limit" in found:
        return found["bytes_limit"] - found["bytes_in_use"]
    if device.platform != "cpu" or not MEMINFO.exists():
        return None
    kib = next(int(line.split()[1]) for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
    return kib * 1024 // device.client.local_device_count()


def check_memory(step: Any, arguments: tuple[Any, ...], training: Training) -> dict[str, int]:
    """Bytes of one device at the peak of a compiled step, and those of trained weights, optimizer state and constants.

    DoesNotFit, with advice on what would fit, if the step needs more than is free. step, arguments: the jitted step of
    `make_step` and its arguments, which are on the devices already. It is compiled here, once for all calls.
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
        fixed = chip_bytes(state.trainable)  # the gradients, for any number of rows
        share = (free - fixed) / max(needed - fixed, 1)
        raise DoesNotFit(
            f"the training step needs {needed / GIB:.2f} GiB on each device beside what is there, and "
            f"{max(free, 0) / GIB:.2f} GiB are free.\n{_advice(training, shards, share)}"
        )
    parts = {"trained_bytes": state.trainable, "optimizer_bytes": state.optimizer, "constants_bytes": constants}
    return {"peak_bytes": planned_bytes(memory), **{name: chip_bytes(tree) for name, tree in parts.items()}}


def _advice(training: Training, shards: int, share: float | None) -> str:
    """Advice on what fits. shards: devices that split the rows. share: of a microbatch's rows that fit, if known."""
    if share is None or share <= 0:
        return "Spread it over more devices, or try remat 'full'."
    rows, present = training.batch_rows, training.accumulation
    fitting = (n for n in range(present + 1, rows + 1) if rows % (n * shards) == 0 and n * share >= present)
    if (parts := next(fitting, None)) is None:
        return "Try remat 'full', or fewer Training.batch_rows."
    return f"Training.accumulation {parts} should fit, and changes no result."

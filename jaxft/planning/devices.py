"""Accelerators that a plan can be made for: their names and their makers' specifications."""

import math
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from jax.experimental import topologies

from jaxft.errors import UserError
from jaxft.training.memory import GIB


@dataclass(frozen=True)
class Chip:
    """One chip: dense bf16 FLOP/s, bytes/s of its memory and of its links to other chips, bytes a program may use."""

    flops: float
    memory_bandwidth: float
    link_bandwidth: float
    memory: float


#: Google Cloud's TPU documentation, "System architecture", a page per generation; memory as the TPU compiler limits it.
TPUS = {
    "v4": Chip(275e12, 1228e9, 300e9, 30.75 * GIB),
    "v5e": Chip(197e12, 819e9, 200e9, 15.75 * GIB),
    "v5p": Chip(459e12, 2765e9, 600e9, 94.75 * GIB),
    "v6e": Chip(918e12, 1640e9, 448e9, 31.25 * GIB),
}
#: NVIDIA's data sheets; memory less 6 % that the driver, the context and JAX's pool leave unused.
GPUS = {
    "a100-40": Chip(312e12, 1555e9, 600e9, 0.94 * 40e9),
    "a100-80": Chip(312e12, 2039e9, 600e9, 0.94 * 80e9),
    "l40s": Chip(362e12, 864e9, 64e9, 0.94 * 48e9),
    "rtx4090": Chip(165e12, 1008e9, 64e9, 0.94 * 24e9),
    "h100": Chip(989e12, 3350e9, 900e9, 0.94 * 80e9),
    "h200": Chip(989e12, 4800e9, 900e9, 0.94 * 141e9),
}
#: Slices that Google Cloud offers, smallest first.
SLICES = {
    "v4": ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
    "v5e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    "v5p": ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
    "v6e": ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
}


def chip_of(topology: str) -> Chip | None:
    """The chip that a topology consists of; None if its specification is unknown."""
    return {**TPUS, **GPUS}.get(topology.split(":")[0])


def is_gpu(topology: str) -> bool:
    return topology.split(":")[0] in GPUS


def gpu_count(topology: str) -> int:
    """Number of GPUs of a topology such as "h100:8"."""
    kind, _, count = topology.partition(":")
    if not count.isdecimal() or int(count) < 1:
        raise UserError(f"topology {topology!r}: expected {kind}:COUNT, such as {kind}:8")
    return int(count)


def chip_count(topology: str) -> int:
    """Number of chips of a named topology."""
    if is_gpu(topology):
        return gpu_count(topology)
    return math.prod(int(side) for side in topology.split(":")[1].split("x"))


@cache  # called when the mesh is checked and for every method
def topology_devices(name: str) -> list[Any]:
    """The devices of a TPU topology such as "v5e:4x4"; UserError without a compiler or for an unknown name."""
    # Outside a TPU virtual machine libtpu would ask the network for metadata.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # plans that run at the same time use no chip
    generation = name.split(":")[0]
    if generation not in TPUS or ":" not in name:
        raise UserError(
            f"topology {name!r}: expected KIND:SHAPE, for instance v5e:4x4, v4:2x2x2 or h100:8; "
            f"known kinds: {', '.join((*TPUS, *GPUS))}"
        )
    options = {"chip_config_name": "megacore"} if generation in ("v4", "v5p") else {}
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices)
    except Exception as error:  # the compiler's plug-in raises several kinds
        said = str(error).splitlines()[0][:200]
        raise UserError(
            f"topology {name!r}: the TPU compiler refused it ({said}).\n"
            "pip install -e '.[plan]' brings it; shapes are those of Google Cloud, such as 2x4 for v5e or 2x2x1 for v4"
        ) from error

"""One accelerator a worker, or its share of the cores: found without JAX, which would take them all."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from jaxft.errors import UserError

DEVICES = Path("/dev")


@dataclass(frozen=True)
class Place:
    """Where a process computes: what it sees by its environment, and the cores it keeps to; None: all."""

    environment: dict[str, str]
    cores: frozenset[int] | None = None


def places(jobs: int) -> list[Place]:
    """The place of each of `jobs` processes: alone it has all accelerators, of several each sees its own.

    UserError where there are fewer accelerators than processes. Without any, all of them compute on the CPU, each on
    its own cores where there are enough: two training on two shared cores took 13 % longer.
    """
    inherited = dict(os.environ)
    if jobs == 1:
        return [Place(inherited)]
    variables = _visible(inherited)
    if not variables:
        cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
        shares = [frozenset(cores[worker::jobs]) if jobs <= len(cores) else None for worker in range(jobs)]
        return [Place(inherited, share) for share in shares]
    if len(variables) < jobs:
        count = f"{len(variables)} accelerator{'s' * (len(variables) > 1)}"
        raise UserError(f"--jobs {jobs}: found {count} here, expected one for each worker")
    return [Place({**inherited, **own}) for own in variables[:jobs]]


def _visible(environment: dict[str, str]) -> list[dict[str, str]]:
    """What makes one accelerator visible, for each that is here."""
    if environment.get("JAX_PLATFORMS") == "cpu":
        return []
    named = environment.get("CUDA_VISIBLE_DEVICES")
    gpus = _files("nvidia") if named is None else [name for name in named.split(",") if name]
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus]
    chips = _files("accel") or _files("vfio/")
    # A slice of one chip and one process, whatever the machine has.
    alone = {"TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1", "TPU_PROCESS_BOUNDS": "1,1,1"}
    return [{"TPU_VISIBLE_CHIPS": str(number), **alone} for number in range(len(chips))]


def _files(prefix: str) -> list[str]:
    """Numbers of the device files that begin so, ascending."""
    found = (str(path.relative_to(DEVICES)).removeprefix(prefix) for path in DEVICES.glob(f"{prefix}[0-9]*"))
    return sorted(found, key=int)

"""Accelerators and cores for each process of a sweep, found without JAX, which would reserve all accelerators."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxft.errors import UserError

DEVICES = Path("/dev")


@dataclass(frozen=True)
class Place:
    """The accelerators that a process sees, by environment variables, and the cores that it uses; None: all cores."""

    environment: dict[str, str]
    cores: frozenset[int] | None = None

    def enter(self) -> None:
        """Limit the calling process to this place. Call this before the process uses an accelerator."""
        os.environ.update(self.environment)
        if self.cores:
            os.sched_setaffinity(0, self.cores)


def places(jobs: int) -> list[Place]:
    """The places of `jobs` processes: a single process sees all accelerators, each of several sees one.

    UserError if there are fewer accelerators than processes. Without accelerators all use the CPU, each process on its
    own cores if there are enough: two trainings that shared two cores took 13 % longer.
    """
    if jobs == 1:
        return [Place({})]
    variables = _visible(os.environ)
    if not variables:
        cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
        return [Place({}, frozenset(cores[number::jobs]) if jobs <= len(cores) else None) for number in range(jobs)]
    if len(variables) < jobs:
        count = f"{len(variables)} accelerator{'s' * (len(variables) > 1)}"
        raise UserError(f"--jobs {jobs}: found {count} here, expected one for each unit at work")
    return [Place(each) for each in variables[:jobs]]


def _visible(environment: Mapping[str, str]) -> list[dict[str, str]]:
    """For each accelerator of this machine, the environment variables that make only this one visible."""
    if environment.get("JAX_PLATFORMS") == "cpu":
        return []
    named = environment.get("CUDA_VISIBLE_DEVICES")
    gpus = _files("nvidia") if named is None else [name for name in named.split(",") if name]
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus]
    chips = _files("accel") or _files("vfio/")
    # Each process sees a slice of one chip and one process.
    alone = {"TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1", "TPU_PROCESS_BOUNDS": "1,1,1"}
    return [{"TPU_VISIBLE_CHIPS": str(number), **alone} for number in range(len(chips))]


def _files(prefix: str) -> list[str]:
    """The numbers of the device files whose names begin with `prefix`, in ascending order."""
    found = (str(path.relative_to(DEVICES)).removeprefix(prefix) for path in DEVICES.glob(f"{prefix}[0-9]*"))
    return sorted(found, key=int)

"""One program in several processes: start, barriers, agreement, gathering of arrays. A single process never waits.

Every process runs the same command with the same output folder, which all of them can read. Process 0 is the leader: it
alone writes files and prints; the others compute with it.
"""

import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxft.errors import UserError
from jaxft.preemption import as_flag

#: Environment variables for a cluster that JAX cannot detect: address and port of process 0, number of processes, and
#: number of this process.
VARIABLES = ("JAXFT_COORDINATOR", "JAXFT_PROCESSES", "JAXFT_PROCESS")
#: Seconds that processes wait for each other at the start.
START_SECONDS = 300
#: Seconds without a heartbeat after which a process counts as dead; the others then end with code 134 (SIGABRT).
HEARTBEAT_SECONDS = 60


def start() -> bool:
    """Join the other processes of a cluster, before any computation; returns False without a cluster.

    VARIABLES describe a cluster; on TPU slices and under Slurm JAX detects it. UserError if the variables are
    incomplete or the other processes do not start in time.
    """
    if jax.distributed.is_initialized():
        return True
    named = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    arguments = _named_cluster(named) if named else {}
    if not (named or _cluster_found()):
        return False
    if arguments:
        # Printed first: if a process is missing, JAX does not return but ends this one with code 134.
        where = f"{arguments['coordinator_address']} for up to {START_SECONDS} s"
        print(
            f"process {arguments['process_id']}: waiting for {arguments['num_processes']} processes at {where}",
            file=sys.stderr,
        )
        if arguments["process_id"] > 0:
            _wait_for(arguments["coordinator_address"])
    try:
        jax.distributed.initialize(
            **arguments, initialization_timeout=START_SECONDS, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except (RuntimeError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the processes did not come together ({said}).\n"
            f"Start the same command on every host, within {START_SECONDS} s, or set {', '.join(VARIABLES)}."
        ) from error
    return True


def _wait_for(address: str) -> None:
    """Wait until the coordinator listens; UserError after START_SECONDS."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"JAXFT_COORDINATOR {address}: not reached within {START_SECONDS} s ({error}).\n"
                    "Start process 0 there, or name the host of process 0 and a port that all hosts may reach."
                ) from error
            time.sleep(0.5)


def _named_cluster(named: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of jax.distributed.initialize; UserError if VARIABLES are missing or malformed."""
    if missing := [name for name in VARIABLES if name not in named]:
        raise UserError(f"{', '.join(named)} set without {', '.join(missing)}; set all of them, or none on one host")
    address, *numbers = (named[name] for name in VARIABLES)
    if not all(number.isdecimal() for number in numbers) or not int(numbers[1]) < int(numbers[0]):
        raise UserError(f"JAXFT_PROCESS {numbers[1]}, JAXFT_PROCESSES {numbers[0]}: expected a number, counted from 0")
    if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdecimal():
        raise UserError(f"JAXFT_COORDINATOR {address!r}: expected host:port of process 0")
    return {"coordinator_address": address, "num_processes": int(numbers[0]), "process_id": int(numbers[1])}


def _cluster_found() -> bool:
    """True if JAX can detect a cluster: on TPU machines, even a single one, and in several tasks of Slurm."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    if "MEGASCALE_COORDINATOR_ADDRESS" in os.environ or "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        return True
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return True
    chips = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]
    return bool(chips) and find_spec("libtpu") is not None


def is_leader() -> bool:
    """True in process 0, which writes files and prints."""
    return jax.process_index() == 0


def gather(x: Any) -> np.ndarray:
    """The whole array on the host; all processes call this together if the array is split over them."""
    if isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated):
        return multihost_utils.process_allgather(x, tiled=True)
    return np.asarray(x)


def agreed(fact: bool) -> bool:
    """The leader's value of `fact`, for a branch that all processes take together, such as whether a file exists."""
    return fact if jax.process_count() == 1 else bool(multihost_utils.broadcast_one_to_all(np.int32(fact)))


def barrier(event: str) -> None:
    """Wait until all processes have called this with the same event."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(event)


def run_on_leader(event: str, write: Callable[[], object]) -> None:
    """Call `write` in the leader alone; all processes call this, and return when it is done."""
    if is_leader():
        write()
    barrier(event)


def check_same(settings: Mapping[str, Any]) -> None:
    """UserError if settings, {name: JSON data}, differ between processes; it names the settings and processes."""
    if jax.process_count() == 1:
        return
    digests = [hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest() for value in settings.values()]
    mine = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)
    gathered = multihost_utils.process_allgather(mine)  # [processes, settings, bytes]
    differing = (gathered != gathered[0]).any(axis=-1)
    if differing.any():
        what = [name for name, column in zip(settings, differing.T, strict=True) if column.any()]
        who = ", ".join(map(str, np.flatnonzero(differing.any(axis=1))))
        raise UserError(
            f"{', '.join(what)}: not the same in process {who} as in process 0; give every process the same command"
        )


@contextmanager
def preemption_notice() -> Iterator[Callable[[int], bool]]:
    """A context that yields a function of the step's number, called after every step: True if SIGTERM asks to stop.

    A signal to one of several processes stops all of them at the same step: JAX's own handler, installed when JAX
    starts, counts in steps, and Orbax asks it when it saves. With this handler, a signal between two training runs has
    no effect.
    """
    if jax.distributed.is_initialized():
        yield multihost_utils.reached_preemption_sync_point
    else:
        with as_flag() as noted:
            yield lambda _: noted()

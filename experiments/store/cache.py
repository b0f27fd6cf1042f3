"""A file that one process at a time may hold; the system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from jaxft.distributed import agreed, is_leader
from jaxft.errors import UserError


class Busy(UserError):
    """Another process holds the file."""


@contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[int]:
    """Within it the file is ours, made where there is none, open for reading and appending as the number it gives.

    Where another process holds it: Busy, or with `wait` not before that one lets go. UserError where it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise refused(path, error) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Busy(f"{path}: another process is at work here; wait for it or choose another folder") from error
        yield file
    finally:
        os.close(file)


def alone(path: Path) -> AbstractContextManager[object]:
    """Within it no other program makes `path`, which is then either whole or not there. Processes of one program work
    together: the leader holds the lock for all."""
    return held(path.with_name(f".{path.name}.lock"), wait=True) if is_leader() else nullcontext()


def once(path: Path, make: Callable[[], object]) -> None:
    """Make `path`, a file or a folder that appears when it is whole, unless it is there; other programs that want it
    wait meanwhile."""
    with alone(path):
        if not agreed(path.exists()):
            make()


def refused(path: Path, error: OSError) -> UserError:
    """What the disk said, as the user is told."""
    return UserError(f"{path}: cannot be written ({error.strerror}); free some space or choose another folder")

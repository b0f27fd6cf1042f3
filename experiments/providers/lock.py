"""A file that one process at a time may hold; the system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxft.errors import UserError


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Within it the file is ours, made where there is none, open for reading and appending as the number it gives.

    UserError where another process holds it, or where it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise refused(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
    except BlockingIOError as error:
        raise UserError(f"{path}: another process is at work here; wait for it or choose another folder") from error
    finally:
        os.close(file)


def refused(path: Path, error: OSError) -> UserError:
    """What the disk said, as the user is told."""
    return UserError(f"{path}: cannot be written ({error.strerror}); free some space or choose another folder")

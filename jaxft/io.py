"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path

from jaxft.distributed import run_on_leader
from jaxft.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path` and rename over it, so that a reader or a crash never meets half a file.

    All processes call this; the leader writes, and they go on together when it is done. UserError where the disk
    refuses.
    """
    run_on_leader(f"{path} written", lambda: _write(path, content))


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes files private; a report should be as readable as any other file of the user.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):
            raise _refused(path, error) from error
        raise


def _refused(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be written ({error.strerror}); free some space or choose another folder")

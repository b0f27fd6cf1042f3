"""The cache of all results that are computed once, and the locks of output folders.

Only this module hashes inputs, takes locks and renames finished results into place.
"""

import datetime
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from jaxft.distributed import agreed, is_leader, run_on_leader
from jaxft.errors import UserError
from jaxft.io import cannot_write, delete, read_json, write_json

#: Name of an output folder's lock file.
LOCK = ".lock"
#: Seconds to try for a lock without waiting, in case its holder is just about to release it.
SOON = 0.3


class Busy(UserError):
    """UserError because another process holds the lock."""


def digest(key: Any) -> str:
    """Short hash of JSON data (16 hexadecimal digits of SHA-256), independent of the order of keys."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def cached_path(folder: Path, key: Any, name: str = "{}") -> Path:
    """The path of the result that `cached` stores for `key`."""
    return folder / name.format(digest(key))


def cached(folder: Path, key: Any, make: Callable[[Path], object], name: str = "{}") -> Path:
    """The path of the file or folder that depends on `key`, made now unless it exists; UserError if writing fails.

    key: JSON data, everything that the result depends on; its digest replaces "{}" in `name`. A name without "{}" is
    for a folder that holds the results of only one key. make: writes the result to the path that it gets, which is then
    renamed into place. It may write nothing if the result cannot be completed yet.

    If several programs need the same result, one makes it and the others wait for its lock. A killed program leaves no
    partial result: the next call deletes its scratch files. All JAX processes of a program call this and `make`; only
    the leader locks, writes and renames.
    """
    path = cached_path(folder, key, name)
    if not agreed(path.exists()):
        with locked(path) if is_leader() else nullcontext():
            if not agreed(path.exists()):
                _make(path, make)
    return path


def cached_json(path: Path, compute: Callable[[], Any]) -> Any:
    """The JSON data in `path`, computed now unless it exists. Its folder must belong to one config and its inputs."""
    cached(path.parent, None, lambda scratch: write_json(scratch, compute()), path.name)
    return read_json(path)


def _make(path: Path, make: Callable[[Path], object]) -> None:
    """Run `make` in a scratch folder next to `path`. Its name is fixed, so the holder of the lock can delete it."""
    scratch = path.with_name(f".{path.name}.partial")
    made = scratch / path.name

    def begin() -> None:
        delete(scratch)
        scratch.mkdir(parents=True)

    def end() -> None:
        if made.exists():
            os.replace(made, path)

    try:
        run_on_leader(f"{path} begun", begin)
        make(made)
        run_on_leader(f"{path} made", end)
    except (OSError, SafetensorError) as error:
        raise cannot_write(path, error) from error
    except UserError as error:
        raise UserError(str(error).replace(str(made), str(path))) from error
    finally:
        if is_leader():
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of `path`, for one thread of one process at a time; UserError if the lock file cannot be written.

    wait: wait until another holder releases it; else raise Busy. If a process dies, the system releases its lock.
    """
    with _exclusive(path.with_name(f".{path.name}.lock"), path, wait):
        yield


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Hold the lock of an output folder while a run works in it; Busy, without waiting, if another process holds it.

    All JAX processes of a program call this, and the leader holds the lock. Partial files of killed runs are deleted.
    If the folder is still empty at the end, it is removed, with the parents that were made for it.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose a folder with --out")
    with ExitStack() as stack:
        problem = None
        if is_leader():
            stack.callback(_remove_empty, [one for one in (folder, *folder.parents) if not one.exists()])
            try:
                stack.enter_context(_exclusive(folder / LOCK, folder, wait=False))
            except UserError as error:
                problem = error
        if not agreed(problem is None):
            raise problem or UserError(f"{folder}: process 0 cannot work here, and says why")
        if is_leader():
            _delete_leftovers(folder)
        yield


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:  # deepest first
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _delete_leftovers(folder: Path) -> None:
    """Delete scratch files and folders of killed runs, except in subfolders with their own lock, such as a sweep's
    units. Scratch folders of `cached` are deleted by its next call, under their own lock."""
    for parent, folders, files in os.walk(folder):
        if Path(parent) != folder and LOCK in files:
            folders.clear()
            continue
        left = [name for name in (*folders, *files) if name.startswith(".") and ".partial-" in name]
        for name in left:
            delete(Path(parent, name))
        folders[:] = [name for name in folders if name not in left and not name.endswith(".partial")]


@contextmanager
def _exclusive(file: Path, what: Path, wait: bool) -> Iterator[None]:
    """Lock `file`, which names its holder and is removed at the end. Busy and UserError name `what`."""
    lock = FileLock(file, timeout=-1 if wait else SOON, fallback_to_soft=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise Busy(
            f"{what}: another process is at work here ({_holder(file)}); wait for it, or choose another folder"
        ) from error
    except OSError as error:
        raise cannot_write(what, error) from error
    try:
        now = datetime.datetime.now().isoformat(" ", "seconds")
        file.write_text(f"pid {os.getpid()} on {platform.node()} since {now}")
        yield
    finally:
        file.unlink(missing_ok=True)  # filelock creates the file again for a process that waits for it
        lock.release()


def _holder(file: Path) -> str:
    """The holder that a lock file names."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return "it has just ended"

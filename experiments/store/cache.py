"""The cache of everything that is computed once, and the locks of output folders.

This module alone hashes what a result depends on, locks, lets one process lead and renames into place.
"""

from __future__ import annotations

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

#: The lock of an output folder, inside it.
LOCK = ".lock"
#: Seconds in which a lock that is about to be released may still be had, where nobody is to wait for it.
SOON = 0.3


class Busy(UserError):
    """Another process holds the lock."""


def digest(key: Any) -> str:
    """Short hash of JSON data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def cached_path(folder: Path, key: Any, name: str = "{}") -> Path:
    """Where `cached` keeps what depends on `key`."""
    return folder / name.format(digest(key))


def cached(folder: Path, key: Any, make: Callable[[Path], object], name: str = "{}") -> Path:
    """The file or folder that depends on `key`, made now unless it exists.

    key: JSON data, everything that the result depends on; its digest takes the place of "{}" in `name`. A name without
    "{}" is for a folder that holds the results of one key alone.
    make: writes the result to the path that it is given, which is renamed into place at the end. It may write nothing,
    where the result cannot be completed yet.

    Several programs that want the same result make it once: the others wait for the lock. A program that is killed
    leaves no half result, and the next call deletes what it had begun. All JAX processes of a program call this and
    `make`; the leader alone locks, writes and renames. UserError where the disk refuses.
    """
    path = cached_path(folder, key, name)
    if not agreed(path.exists()):
        with locked(path) if is_leader() else nullcontext():
            if not agreed(path.exists()):
                _make(path, make)
    return path


def cached_json(path: Path, compute: Callable[[], Any]) -> Any:
    """The JSON data in `path`, computed now unless the file exists. Its folder belongs to one config and its inputs."""
    cached(path.parent, None, lambda scratch: write_json(scratch, compute()), path.name)
    return read_json(path)


def _make(path: Path, make: Callable[[Path], object]) -> None:
    """Run `make` in a scratch folder beside `path`. Its name is always the same: who holds the lock may delete it."""
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
    """Hold the lock of `path`, which one process, and one thread in it, has at a time.

    wait: until another holder releases it; else Busy. The system releases it when a process ends, however it ends.
    UserError where the disk refuses.
    """
    with _exclusive(path.with_name(f".{path.name}.lock"), path, wait):
        yield


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Hold an output folder while a run works in it; Busy, at once, where another process does.

    All JAX processes of a program call this, and the leader holds the lock. What killed runs left half-written is
    deleted. A folder that is still empty at the end is removed, and so are the parents that were made for it.
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
    for folder in folders:  # the deepest comes first
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _delete_leftovers(folder: Path) -> None:
    """Delete scratch files and folders of killed runs, but not in a folder with a lock of its own, as a sweep's unit.

    Scratch folders of `cached` are deleted by its next call, under their own lock.
    """
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
    """Lock `file`, which says who holds it and is removed at the end."""
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
        file.unlink(missing_ok=True)  # one that waits for the removed file makes it anew: filelock sees to it
        lock.release()


def _holder(file: Path) -> str:
    """Who holds a lock, as its file says."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return "it has just ended"

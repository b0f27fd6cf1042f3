"""Atomic writing of files and folders, and reading of JSON and JSON lines."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import shutil
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from jaxft.distributed import run_on_leader
from jaxft.errors import UserError

#: Errors of a full disk, of a quota, and of a file that is larger than allowed; safetensors gives no number.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None}


def expanded(path: str) -> str:
    """A path with ~ and $VARIABLES expanded. UserError names a variable that is not set."""
    found = os.path.expanduser(os.path.expandvars(path))
    for match in re.finditer(r"\$(?:(\w+)|\{([^}]*)\})", path):
        name = match[1] or match[2]
        if name not in os.environ and not os.path.exists(found):
            raise UserError(f"{path}: the environment variable {name} is not set; set it or write the path out.")
    return found


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A hidden path next to `path` for a new file or folder, which is renamed to `path` at the end of the block.

    Only the process that writes calls this. Readers never see half a file, even after a crash; permissions are those
    of any new file. After an error the new content is deleted and the old stays. UserError if the disk refuses.
    """
    scratch = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        os.replace(scratch, path)
    except (OSError, SafetensorError) as error:
        raise cannot_write(path, error) from error
    finally:
        delete(scratch)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; UserError if the disk refuses.

    All processes call this; the leader writes, and the others wait until it is done.
    """

    def write() -> None:
        with whole(path) as scratch:
            scratch.write_bytes(content)

    run_on_leader(f"{path} written", write)


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `write_atomically` does; ValueError for NaN and infinity."""
    write_atomically(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file with the permissions of any new file; `save_file` lets its owner alone read it."""
    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), path, dict(metadata or {}) or None)
    path.chmod(mode)


def read_json(path: Path) -> Any:
    """Read JSON; UserError if the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable JSON file ({error})") from error


def read_json_lines(path: Path) -> list[tuple[str, Any]]:
    """(place, value) of every non-blank line of a .jsonl or .jsonl.gz file, such as ("a.jsonl, line 3", {...}).

    Errors as in `read_text` and `parse_json`.
    """
    return list(json_lines(read_text(path, "JSON lines"), path))


def json_lines(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """As `read_json_lines`, of the text of a file."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, parse_json(line, where)


def read_text(path: Path, kind: str) -> str:
    """The text of a UTF-8 file, without BOM; gunzipped if its name ends in .gz.

    UserError if it cannot be read; `kind` is the kind of file that was expected.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; expected a file of {kind}") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        line = f" (line {error.object.count(10, 0, error.start) + 1})" if isinstance(error, UnicodeDecodeError) else ""
        gzipped = "gzipped " * (path.suffix == ".gz")
        raise UserError(f"{path} cannot be read as {gzipped}UTF-8 text: {error}{line}") from error


def parse_json(text: str | bytes, where: str) -> Any:
    """The JSON value of a text. UserError with its place `where` if it is not JSON or names a field twice."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}") from error


def half_character(value: Any) -> str | None:
    """The first half of a surrogate pair without its other half in any string of a JSON value, as "'\\ud83d'"."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return ascii(text[error.start])
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} occurs twice in one object")
    return fields


def finished_lines(path: Path, mend: bool = False) -> list[bytes]:
    """The complete lines of a file that is only appended to; [] if there is none.

    A kill may leave an unfinished line at the end. It is left out; `mend` cuts it off, or it would spoil the next line.
    """
    content = path.read_bytes() if path.is_file() else b""
    *lines, unfinished = content.split(b"\n")
    if unfinished and mend:
        os.truncate(path, len(content) - len(unfinished))
    return lines


def delete(path: Path) -> None:
    """Remove a file, or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        path.unlink()


def cannot_write(path: Path, error: OSError | SafetensorError) -> UserError:
    """The error to raise if the disk refuses to write `path`."""
    reason = getattr(error, "strerror", None) or error
    if getattr(error, "errno", None) == errno.ENOENT:  # of a folder that is there, as /proc
        reason = f"{next(one for one in path.absolute().parents if one.exists())} takes no new files"
    advice = "free some space or " * (getattr(error, "errno", None) in FULL) + "choose another folder"
    return UserError(f"{path}: cannot be written ({reason}); {advice}")

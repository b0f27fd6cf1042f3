"""Files that appear whole or not at all, and JSON lines."""

import gzip
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

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


def read_json_lines(path: Path) -> list[tuple[str, Any]]:
    """(where it stands, value) of every line of a .jsonl or .jsonl.gz file: ("a.jsonl, line 3", {...}); no blank lines.

    UserError names the file that is missing or no UTF-8 text, and the line that is not JSON.
    """
    try:
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8").split("\n")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; expected a file of JSON lines (.jsonl or .jsonl.gz)") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as {'gzipped ' * (path.suffix == '.gz')}UTF-8 text: {error}") from error
    found = []
    for where, line in ((f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip()):
        try:
            found.append((where, json.loads(line)))
        except ValueError as error:
            raise UserError(f"{where} is not JSON: {error}") from error
    return found

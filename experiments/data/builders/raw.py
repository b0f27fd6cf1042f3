"""Raw files of public datasets: their folder, their identity, and readers."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jaxft.errors import UserError
from jaxft.io import read_json_lines

DATA_FOLDER = "JAXFT_TEST_DATA"
T = TypeVar("T")


@dataclass(frozen=True)
class Upstream:
    """The source of a raw dataset.

    address: the page to get it from by hand. files: alternative sets of file names, the best first. url, sha256, size
    (bytes): the one file that may be downloaded; empty if no published checksum is known, and then the files must be
    present.
    """

    address: str
    files: tuple[tuple[str, ...], ...]
    url: str = ""
    sha256: str = ""
    size: int = 0


def prepared_folder() -> Path:
    """The folder of all prepared datasets: TFDS_DATA_DIR, or TFDS's own default."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def manual_folder() -> Path:
    """The folder of raw files: JAXFT_TEST_DATA, or TFDS's folder for manual downloads."""
    return Path(os.environ.get(DATA_FOLDER) or prepared_folder() / "downloads" / "manual")


def find(source: str, upstream: Upstream) -> tuple[Path, ...]:
    """The raw files of a dataset in the manual folder; empty if they are absent but can be downloaded.

    Raises UserError if they are absent and no checksum is known to download them by.
    """
    folder = manual_folder()
    for names in upstream.files:
        if all((folder / name).is_file() for name in names):
            return tuple(folder / name for name in names)
    if upstream.url:
        return ()
    wanted = " or ".join(" with ".join(names) for names in upstream.files)
    set_hint = "" if os.environ.get(DATA_FOLDER) else f" ({DATA_FOLDER} is not set)"
    raise UserError(
        f"The data source {source!r} needs {wanted} in {folder}{set_hint}: no such file.\n"
        f"Get it from {upstream.address}; it is not downloaded, as no checksum of it is known."
    )


def identity(paths: Sequence[Path]) -> str:
    """SHA-256 (hexadecimal) of the names and contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def members(path: Path, pattern: str, read: Callable[[bytes, str], T], expected: str, named: str) -> dict[str, T]:
    """`read(content, where)` of each member of a tar archive whose name matches `pattern` as a whole.

    The keys are the pattern's first group, sorted; `where` names archive and member. Raises UserError if the file is no
    archive or has no matching member; the message uses `expected` for the content and `named` for the names.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a tar archive of {expected} named like {named}.")
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                match = re.fullmatch(pattern, member.name)
                stream = archive.extractfile(member) if match else None
                if match and stream:
                    found[match[1]] = read(stream.read(), f"{path}: {member.name}")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{path} cannot be read as a tar archive: {error}") from error
    if not found:
        raise UserError(f"{path} holds no {expected}; expected members named like {named}.")
    return dict(sorted(found.items()))


def lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The JSON objects of a .jsonl or .jsonl.gz file, each with its position ("file, line n")."""
    found = read_json_lines(path)
    for where, record in found:
        if not isinstance(record, dict):
            raise UserError(f"{where} is a JSON {type(record).__name__}; expected an object.")
    if not found:
        raise UserError(f"{path} holds no rows; expected one JSON object a line.")
    return found


def columns(record: dict[str, Any], where: str, required: Sequence[str], known: Sequence[str] = ()) -> None:
    """Check a row's columns. UserError if a required column is missing or one is neither required nor known."""
    missing = [name for name in required if name not in record]
    unknown = sorted(set(record) - {*required, *known})
    if missing or unknown:
        problem = f"lacks the column {missing[0]!r}" if missing else f"has the unknown column {unknown[0]!r}"
        optional = f"; may have {', '.join(known)}" if known else ""
        raise UserError(f"{where} {problem}; expected {', '.join(required)}{optional}.")


def text(record: dict[str, Any], name: str, where: str) -> str:
    """A column that must be a non-empty string, without surrounding space. UserError otherwise."""
    value = record[name]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: {name!r} is {value!r:.60}; expected a string that is not empty.")
    return value.strip()

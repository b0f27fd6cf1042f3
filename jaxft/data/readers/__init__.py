"""A user's own data: examples from JSON lines, JSON arrays, CSV and Parquet, in every usual form of a dialogue."""

from __future__ import annotations

from pathlib import Path

from jaxft.data.example import Example
from jaxft.data.readers.files import records
from jaxft.data.readers.forms import EXPECTED, example
from jaxft.errors import UserError


def examples(path: str | Path) -> list[Example]:
    """The examples of a file, each with its place ("a.jsonl, line 3"), in order.

    The ending of the name says what the file holds (`files.ENDINGS`), and the fields of each record its form
    (`forms.py`). Raises UserError that names the file and the place for anything that cannot be read exactly.
    """
    found = [example(record, where) for where, record in records(Path(path))]
    if not found:
        raise UserError(f"{path} holds no examples; expected records like {EXPECTED}.")
    return found

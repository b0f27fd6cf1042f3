"""Records of a data file, each with its place: JSON lines, a JSON array, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxft.errors import UserError
from jaxft.io import json_lines, parse_json, read_text

#: How the names of data files end. Parquet is compressed by itself.
ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet")


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, record) of every record of a file, such as ("a.csv, line 3", {"prompt": "Hi", "response": "Hello"}).

    A file that ends in .json is an array, or else JSON lines; CSV has the names of its columns in the first line. Text
    is UTF-8, with or without BOM; blank lines are skipped. Places are lines, items of an array or rows of Parquet,
    counted from 1. UserError for a name with another ending and for a file that is missing or damaged.
    """
    match path.name.removesuffix(".gz").rpartition("."):
        case _, _, "parquet" if path.suffix != ".gz":
            return _parquet(path)
        case _, _, "csv":
            return _csv(path)
        case _, _, "jsonl":
            return json_lines(read_text(path, "JSON lines"), path)
        case _, _, "json":
            text = read_text(path, "JSON")
            return _array(text, path) if text.lstrip().startswith("[") else json_lines(text, path)
    raise UserError(f"{path} is no data file: its name ends in none of {', '.join(ENDINGS)}.")


def _array(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    for number, item in enumerate(parse_json(text, str(path)), 1):
        yield f"{path}, item {number}", item


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(2**31 - 1)
    lines = csv.reader(io.StringIO(read_text(path, "CSV"), newline=""), strict=True)
    names: list[str] = []
    begins = 1  # the line on which a row begins; it may go on over several
    try:
        for row in lines:
            where, begins = f"{path}, line {begins}", lines.line_num + 1
            if not names:
                names = row
                if len(set(names)) < len(names):
                    raise UserError(f"{where} names a column twice: {', '.join(names)}; rename or remove one.")
            elif row:
                if len(row) != len(names):
                    raise UserError(
                        f"{where} has {len(row)} cells; expected {len(names)}, one for each of {', '.join(names)}.\n"
                        "Put a cell that holds a comma, a quote or a new line into double quotes."
                    )
                yield where, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}, line {begins} is not CSV: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow  # slow to import
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", _without_nulls(record)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; expected a file of Parquet") from error
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {error}") from error


def _without_nulls(value: Any) -> Any:
    """A value without the null fields of its objects: Parquet gives each the fields of all others in its column."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value

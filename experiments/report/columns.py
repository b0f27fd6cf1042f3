"""Rows of cells as text."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """A table of text: a header and rows, all of the same length."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of the widest cell of each column."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line per row, columns padded to their widest cell."""
    columns = widths(rows)
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, columns, strict=True)).rstrip() for row in rows]

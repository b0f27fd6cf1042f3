"""Packing of encoded examples into rows of one length, several per row; no token reads another example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from jaxft.bounds import fit
from jaxft.data.template import Encoded
from jaxft.errors import UserError

OnLong = Literal["drop", "split", "error"]
#: The arrays of packed rows that a model reads.
INPUTS = ("tokens", "positions", "segments")
#: The arrays of packed rows, and of a batch of them.
FIELDS = (*INPUTS, "targets", "weights")


@dataclass(frozen=True, eq=False)
class Rows:
    """Packed examples.

    At entry (r, i) the model reads tokens[r, i] and is to predict targets[r, i], the next token of the same segment,
    with weights[r, i] (1 or 0). positions restart at 0 in each segment; segments count 1, 2, ... along a row. On
    padding all arrays are 0. dropped: number of examples that were left out because they are too long. unlabelled:
    number of examples, or windows of them, that were left out because they hold nothing to learn.
    """

    tokens: Int32[np.ndarray, "rows length"]
    positions: Int32[np.ndarray, "rows length"]
    segments: Int32[np.ndarray, "rows length"]
    targets: Int32[np.ndarray, "rows length"]
    weights: Float32[np.ndarray, "rows length"]
    dropped: int = 0
    unlabelled: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of rows, of tokens without padding, of labels, and of what was left out."""
        tokens, labels = int(np.count_nonzero(self.segments)), int(np.count_nonzero(self.weights))
        left_out = {"dropped": self.dropped, "unlabelled": self.unlabelled}
        return {"rows": len(self.tokens), "tokens": tokens, "labels": labels, **left_out}


def blend(domain: Rows, other: Rows, share: float) -> Rows:
    """The rows of the domain, followed by as many other rows as make up `share` of the result.

    The other rows are evenly spaced over `other`, and repeat if there are too few. UserError if the share is less than
    half a row.
    """
    wanted = round(len(domain.tokens) * share / (1 - share))
    if wanted == 0:
        raise UserError(
            f"A share of {share:g} of other text is less than half a row beside {len(domain.tokens)} rows of the "
            "domain; give a larger share or more of the domain."
        )
    chosen = np.arange(wanted) * len(other.tokens) // wanted
    if wanted > len(other.tokens):
        chosen = np.arange(wanted) % len(other.tokens)
    both = {name: np.concatenate([getattr(domain, name), getattr(other, name)[chosen]]) for name in FIELDS}
    return Rows(**both, dropped=domain.dropped + other.dropped, unlabelled=domain.unlabelled + other.unlabelled)


class TooLong(UserError):
    """Examples do not fit the length of a row."""


class _Piece(NamedTuple):
    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def pack(encoded: Sequence[Encoded], length: int, on_long: str, unlabelled: bool = False) -> Rows:
    """Put each example, in order, into the first row that still has room for it (first fit; no randomness).

    An example of n tokens takes n - 1 entries, as its last token is only a target. on_long: what to do if that exceeds
    `length` (tokens). "drop" leaves the example out and counts it; "split" cuts it into windows, each beginning with
    the last target of the window before, so every target occurs once; "error" raises UserError. Windows without a label
    teach nothing: they are left out and counted, unless `unlabelled` asks for them, as for moments of the inputs.
    UserError also if nothing is left or if an example is empty.
    """
    fit(on_long, OnLong, "on_long")
    if length < 1:
        raise UserError(f"The row length is {length}; it must be at least 1 token.")
    if not encoded:
        raise UserError("There are no examples to pack.")
    pieces: list[_Piece] = []
    dropped = empty = 0
    for index, one in enumerate(encoded):
        entries = len(one.tokens) - 1
        if entries < 1:
            raise UserError(f"Example {index} (from 0) has no token to predict: its text is empty.")
        if entries > length and on_long == "error":
            raise TooLong(
                f"Example {index} (from 0) needs {entries} tokens; the row length is {length}.\n"
                "Raise the length or set on_long to drop or split."
            )
        if entries > length and on_long == "drop":
            dropped += 1
            continue
        for start in range(0, entries, length):
            stop = min(start + length, entries)
            inside, ahead = slice(start, stop), slice(start + 1, stop + 1)
            if unlabelled or one.weights[ahead].any():
                pieces.append(_Piece(one.tokens[inside], one.tokens[ahead], one.weights[ahead]))
            else:
                empty += 1
    if not pieces and empty:
        raise UserError(
            f"Nothing is left to learn: {empty} examples or windows of them have no label, {dropped} are too long."
        )
    if not pieces:
        shortest = min(len(one.tokens) for one in encoded) - 1
        raise TooLong(
            f"None of the {dropped} examples fits the row length {length}: the shortest needs {shortest} tokens.\n"
            "Raise the length or set on_long to split."
        )
    rows = _fill(pieces, _first_fit([len(piece.inputs) for piece in pieces], length), length)
    return replace(rows, dropped=dropped, unlabelled=empty)


def _first_fit(sizes: Sequence[int], length: int) -> list[int]:
    """The row of each piece."""
    room = np.full(len(sizes), length)
    used = 0
    rows = []
    for size in sizes:
        row = int(np.argmax(room[: used + 1] >= size))  # row `used` is still empty, so one always fits
        room[row] -= size
        used = max(used, row + 1)
        rows.append(row)
    return rows


def _fill(pieces: Sequence[_Piece], rows: Sequence[int], length: int) -> Rows:
    count = max(rows) + 1
    tokens, positions, segments, targets = (np.zeros((count, length), np.int32) for _ in range(4))
    weights = np.zeros((count, length), np.float32)
    end = np.zeros(count, np.int64)
    segment = np.zeros(count, np.int32)
    for piece, row in zip(pieces, rows, strict=True):
        size = len(piece.inputs)
        at = (row, slice(end[row], end[row] + size))
        end[row] += size
        segment[row] += 1
        tokens[at], targets[at], weights[at] = piece
        positions[at] = np.arange(size)
        segments[at] = segment[row]
    return Rows(tokens, positions, segments, targets, weights)

"""Packing loses nothing, invents nothing and mixes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxft.data.packing import FIELDS, Rows, blend, pack
from jaxft.data.template import Encoded
from jaxft.errors import UserError


def encoded(sizes, weights=None) -> list[Encoded]:
    """Examples whose tokens are all different, so that each can be found again."""
    found, start = [], 1
    for size in sizes:
        tokens = np.arange(start, start + size, dtype=np.int32)
        found.append(Encoded(tokens, (tokens % 3 > 0).astype(np.float32)))
        start += size
    return found


def segments_of(rows: Rows):
    """(tokens, positions, targets, weights) of each segment, row by row."""
    for row in range(len(rows.tokens)):
        for segment in range(1, rows.segments[row].max() + 1):
            at = rows.segments[row] == segment
            yield rows.tokens[row, at], rows.positions[row, at], rows.targets[row, at], rows.weights[row, at]


SIZES = st.lists(st.integers(2, 30), min_size=1, max_size=30)


@given(sizes=SIZES, length=st.integers(1, 40), mode=st.sampled_from(["drop", "split"]))
def test_every_target_occurs_once_with_its_own_input_and_weight(sizes, length, mode):
    examples = encoded(sizes)
    kept = [one for one in examples if mode == "split" or len(one.tokens) - 1 <= length]
    if not kept:
        with pytest.raises(UserError, match="None of"):
            pack(examples, length, mode)
        return
    rows = pack(examples, length, mode, unlabelled=True)
    real = rows.segments > 0
    got = list(zip(rows.tokens[real], rows.targets[real], rows.weights[real], strict=True))
    want = [pair for one in kept for pair in zip(one.tokens[:-1], one.tokens[1:], one.weights[1:], strict=True)]
    assert sorted(got) == sorted(want)
    assert rows.dropped == len(examples) - len(kept)
    assert rows.counts["labels"] == sum(weight for *_, weight in want)


@given(sizes=SIZES, length=st.integers(1, 5))
def test_windows_without_a_label_are_left_out_and_counted(sizes, length):
    examples = encoded(sizes)
    every = pack(examples, length, "split", unlabelled=True)
    try:
        rows = pack(examples, length, "split")
    except UserError as error:
        assert "Nothing is left to learn" in str(error)
        assert not every.weights.any()
        return
    kept, windows = (sorted(tuple(map(tuple, one)) for one in segments_of(some)) for some in (rows, every))
    assert kept == [one for one in windows if any(one[3])]
    assert rows.unlabelled == len(windows) - len(kept) and every.unlabelled == 0
    assert rows.counts == {
        **every.counts,
        "rows": len(rows.tokens),
        "tokens": sum(len(one[0]) for one in kept),
        "unlabelled": rows.unlabelled,
    }


@given(sizes=SIZES, length=st.integers(1, 40))
def test_segments_are_runs_that_restart_and_padding_is_zero(sizes, length):
    rows = pack(encoded(sizes), length, "split", unlabelled=True)
    for tokens, positions, targets, _ in segments_of(rows):
        assert positions.tolist() == list(range(len(tokens)))
        assert tokens[1:].tolist() == targets[:-1].tolist()
    for row in rows.segments:
        used = row[row > 0]
        assert row[: len(used)].tolist() == used.tolist(), "padding is at the end"
        assert set(np.diff(used)) <= {0, 1} and used[0] == 1, "segments count up"
    padding = rows.segments == 0
    for array in (rows.tokens, rows.positions, rows.targets, rows.weights):
        assert array.shape == rows.segments.shape
        assert not array[padding].any()


@given(sizes=SIZES)
def test_first_fit(sizes):
    """No example could have gone into an earlier row, given those before it."""
    length = 29
    rows = pack(encoded(sizes), length, "error", unlabelled=True)
    row_of = {int(token): row for row in range(len(rows.tokens)) for token in rows.tokens[row][rows.segments[row] > 0]}
    room = [length] * len(rows.tokens)
    start = 1
    for size in sizes:
        row = row_of[start]
        assert all(space < size - 1 for space in room[:row])
        room[row] -= size - 1
        start += size


def test_a_small_case_by_hand():
    examples = [Encoded(np.array(t, np.int32), np.array(w, np.float32)) for t, w in [
        ([1, 7, 8, 2], [0, 0, 1, 1]), ([1, 9, 9, 9, 2], [0, 1, 1, 1, 1]), ([1, 5, 2], [0, 0, 1]),
    ]]  # fmt: skip
    rows = pack(examples, 6, "error")
    assert rows.tokens.tolist() == [[1, 7, 8, 1, 5, 0], [1, 9, 9, 9, 0, 0]]
    assert rows.targets.tolist() == [[7, 8, 2, 5, 2, 0], [9, 9, 9, 2, 0, 0]]
    assert rows.weights.tolist() == [[0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 0, 0]]
    assert rows.positions.tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 0, 0]]
    assert rows.segments.tolist() == [[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 0, 0]]
    dtypes = {name: getattr(rows, name).dtype for name in ("tokens", "positions", "segments", "targets", "weights")}
    assert dtypes == dict.fromkeys(("tokens", "positions", "segments", "targets"), np.int32) | {"weights": np.float32}


def test_split_windows_overlap_by_the_token_predicted_last():
    rows = pack(encoded([6]), 2, "split", unlabelled=True)
    assert rows.tokens.tolist() == [[1, 2], [3, 4], [5, 0]]
    assert rows.targets.tolist() == [[2, 3], [4, 5], [6, 0]]


def test_an_example_that_just_fits_is_kept():
    assert pack(encoded([9]), 8, "drop").dropped == 0
    assert pack(encoded([9, 10]), 8, "drop").dropped == 1


@pytest.mark.parametrize(
    ("sizes", "length", "mode", "message"),
    [
        ([9, 12], 5, "drop", "the shortest needs 8"),
        ([3, 9], 5, "error", "Example 1 .* needs 8"),
        ([3, 1], 5, "split", "Example 1 .* empty"),
        ([], 5, "split", "no examples"),
        ([3], 0, "split", "at least 1"),
        ([3], 5, "truncate", "one of drop, split, error"),
    ],
)
def test_what_cannot_be_packed_is_a_user_error(sizes, length, mode, message):
    with pytest.raises(UserError, match=message):
        pack(encoded(sizes), length, mode)


def test_a_share_of_less_than_a_row_is_refused():
    domain = pack(encoded([5] * 4), 4, "drop")
    with pytest.raises(UserError, match="less than half a row beside 4 rows"):
        blend(domain, domain, 0.05)


@pytest.mark.parametrize(("share", "others"), [(0.1, 1), (0.5, 9), (0.75, 27)])
def test_blended_rows_have_the_share_asked_for(share, others):
    domain, other = pack(encoded([5] * 9), 4, "drop"), pack(encoded([3] * 10), 2, "drop")
    padded = Rows(*(np.pad(getattr(other, name), ((0, 0), (0, 2))) for name in FIELDS))
    both = blend(domain, padded, share)
    assert len(both.tokens) == 9 + others
    for name in FIELDS:
        assert (getattr(both, name)[:9] == getattr(domain, name)).all()
    taken = [row.tolist() for row in both.tokens[9:]]
    assert all(row in padded.tokens.tolist() for row in taken)
    assert len({tuple(row) for row in taken}) == min(others, len({tuple(row) for row in padded.tokens.tolist()}))

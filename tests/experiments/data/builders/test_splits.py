"""Splits by content: copies stay together, every stratum is cut alike, and nothing but the texts matters."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from experiments.data.builders.splits import SPLITS, by_text, cut
from experiments.data.contamination import normalised

ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.text("xyZ! ", max_size=4)), max_size=60)


@given(ROWS)
def test_copies_fall_together(rows):
    splits = by_text(rows)
    assert set(splits) <= set(SPLITS) and len(splits) == len(rows)
    found = {}
    for (_, text), split in zip(rows, splits, strict=True):
        assert found.setdefault(normalised(text), split) == split


@given(st.sets(st.text(max_size=5), max_size=50), st.randoms())
def test_a_cut_depends_on_the_keys_alone(keys, random):
    order = list(keys)
    random.shuffle(order)
    assert cut(order) == cut(keys)
    sizes = Counter(cut(keys).values())
    first, second = len(keys) * 8 // 10, len(keys) * 9 // 10
    assert [sizes[split] for split in SPLITS] == [first, second - first, len(keys) - second]


def test_every_stratum_is_cut_alike():
    rows = [(stratum, f"{stratum} number {number}") for stratum in "abc" for number in range(20)]
    sizes = Counter(zip((stratum for stratum, _ in rows), by_text(rows), strict=True))
    assert all(sizes[stratum, "train"] == 16 and sizes[stratum, "test"] == 2 for stratum in "abc")


def test_the_splits_are_fixed():
    """Another order would mix the test data of earlier runs with the training data of later ones."""
    order = cut(f"row {number}" for number in range(10))
    assert [key for key, split in order.items() if split != "train"] == FIXED


FIXED = ["row 8", "row 6"]

"""Batches: endless, the same for the same seed, and resumed exactly."""

from __future__ import annotations

import itertools

import grain
import numpy as np
import pytest

from jaxft.data.batches import batches, reference_batch
from jaxft.data.packing import FIELDS, Rows
from jaxft.errors import UserError


def rows(count: int, length: int = 3) -> Rows:
    """Row r holds the number r everywhere."""
    full = np.broadcast_to(np.arange(count, dtype=np.int32)[:, None], (count, length))
    return Rows(full, full, full, full, full.astype(np.float32))


def numbers(data, count: int) -> list[list[int]]:
    return [data[number]["tokens"][:, 0].tolist() for number in range(count)]


def test_a_batch_has_all_fields_of_the_same_rows():
    batch = batches(rows(5), 4, seed=0)[0]
    assert set(batch) == set(FIELDS)
    for name in FIELDS:
        assert batch[name].shape == (4, 3)
        assert batch[name].tolist() == batch["tokens"].tolist()
        assert batch[name].dtype == (np.float32 if name == "weights" else np.int32)


def test_each_epoch_visits_every_row_once_in_a_new_order():
    order = sum(numbers(batches(rows(20), 4, seed=0), 15), [])
    epochs = [order[start : start + 20] for start in (0, 20, 40)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert list(range(20)) not in epochs


def test_no_row_is_left_out_where_the_batch_does_not_divide_the_epoch():
    order = sum(numbers(batches(rows(5), 3, seed=0), 5), [])
    assert [sorted(order[start : start + 5]) for start in (0, 5, 10)] == [list(range(5))] * 3


def test_fewer_rows_than_the_batch_size_repeat():
    assert sorted(numbers(batches(rows(2), 6, seed=0), 1)[0]) == [0, 0, 0, 1, 1, 1]


def test_the_seed_decides():
    assert numbers(batches(rows(20), 4, seed=3), 12) == numbers(batches(rows(20), 4, seed=3), 12)
    assert numbers(batches(rows(20), 4, seed=3), 12) != numbers(batches(rows(20), 4, seed=4), 12)


def test_batch_n_is_the_one_that_a_plain_iteration_comes_to():
    """The order of training: grain's own iteration over the shuffled, repeated and batched dataset."""
    data = batches(rows(5), 3, seed=1)
    iterated = iter(data.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)))
    assert numbers(data, 12) == [batch["tokens"][:, 0].tolist() for batch in itertools.islice(iterated, 12)]
    whole = grain.MapDataset.source(range(5)).seed(1).shuffle().repeat()
    assert sum(numbers(data, 12), []) == [int(whole[place]) for place in range(36)]


def test_the_order_is_fixed():
    """That of grain 0.2.18, in which the models of the records were trained."""
    assert numbers(batches(rows(5), 3, seed=1), 5) == [[1, 4, 2], [3, 0, 2], [1, 4, 3], [0, 2, 3], [4, 1, 0]]


@pytest.mark.parametrize("start", [1, 7])
def test_a_resumed_run_continues_exactly(start):
    straight = numbers(batches(rows(5), 3, seed=1), 12)
    fresh = batches(rows(5), 3, seed=1)
    assert [fresh[number]["tokens"][:, 0].tolist() for number in range(start, 12)] == straight[start:]


def test_a_batch_of_nothing_is_a_user_error():
    with pytest.raises(UserError, match="batch size is 0"):
        batches(rows(5), 0, seed=0)


def test_numbered_batches_visit_every_row_once_an_epoch_in_changing_orders():
    visited = [reference_batch(rows(7), 3, seed=1, number=n)["tokens"][:, 0].tolist() for n in range(14)]
    epochs = np.array(visited).reshape(6, 7)
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1
    assert visited[5] == reference_batch(rows(7), 3, seed=1, number=5)["tokens"][:, 0].tolist()
    assert visited != [reference_batch(rows(7), 3, seed=2, number=n)["tokens"][:, 0].tolist() for n in range(14)]
    assert reference_batch(rows(2), 5, seed=0, number=1)["weights"].shape == (5, 3)  # fewer rows than a batch has

"""Endless, shuffled, resumable batches of packed rows."""

from __future__ import annotations

import grain
import numpy as np

from jaxft.data.packing import Rows
from jaxft.errors import UserError

FIELDS = ("tokens", "positions", "segments", "targets", "weights")


class _RowSource:
    """Random access to the rows, as grain asks for it."""

    def __init__(self, rows: Rows):
        self._arrays = {name: getattr(rows, name) for name in FIELDS}

    def __len__(self) -> int:
        return len(self._arrays["tokens"])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:  # type: ignore[override]
        return {name: array[index] for name, array in self._arrays.items()}


def nth_batch(rows: Rows, batch_size: int, seed: int, number: int) -> dict[str, np.ndarray]:
    """Batch `number` of an endless sequence that is shuffled anew in every epoch; without a state to restore."""
    count = len(rows.tokens)
    epochs, places = np.divmod(np.arange(number * batch_size, (number + 1) * batch_size), count)
    orders = {epoch: np.random.default_rng((seed, epoch)).permutation(count) for epoch in set(epochs.tolist())}
    chosen = np.array([orders[epoch][place] for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)])
    return {name: getattr(rows, name)[chosen] for name in FIELDS}


def batches(rows: Rows, batch_size: int, seed: int) -> grain.DatasetIterator:
    """An endless iterator of dicts {tokens, positions, segments, targets, weights}, each array [batch_size, length].

    Each epoch visits every row once, in an order given by `seed` and the epoch; batches run on across the ends of
    epochs, so all are full even where there are fewer rows than batch_size. `get_state()` and `set_state(state)` resume
    exactly; so does orbax with the iterator saved beside the arrays. Raises UserError for a batch size below 1.
    """
    if batch_size < 1:
        raise UserError(f"The batch size is {batch_size}; it must be at least 1 row.")
    dataset = grain.MapDataset.source(_RowSource(rows)).seed(seed).shuffle().repeat()
    dataset = dataset.batch(batch_size, drop_remainder=True)
    # The rows are in memory: threads that read ahead would cost more than they save.
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)))

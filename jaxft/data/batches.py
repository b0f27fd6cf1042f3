"""Shuffled batches of packed rows, found by number: training resumes at any step without a saved position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from jaxft.data.packing import FIELDS, Rows
from jaxft.errors import UserError


class _RowSource:
    """Random access to the rows, as grain requires it."""

    def __init__(self, rows: Rows):
        self._arrays = {name: getattr(rows, name) for name in FIELDS}

    def __len__(self) -> int:
        return len(self._arrays["tokens"])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:  # type: ignore[override]
        return {name: array[index] for name, array in self._arrays.items()}


def batches(rows: Rows, batch_size: int, seed: int) -> Sequence[dict[str, np.ndarray]]:
    """An endless sequence: entry n is batch n, a dict of FIELDS, each an array [batch_size, length].

    Each epoch visits every row once, in an order given by `seed` and the epoch. Batches continue across the ends of
    epochs, so all are full even if there are fewer rows than batch_size. UserError for a batch size below 1.
    """
    if batch_size < 1:
        raise UserError(f"The batch size is {batch_size}; it must be at least 1 row.")
    dataset: Any = grain.MapDataset.source(_RowSource(rows)).seed(seed).shuffle().repeat()
    return dataset.batch(batch_size, drop_remainder=True)


def reference_batch(rows: Rows, batch_size: int, seed: int, number: int) -> dict[str, np.ndarray]:
    """Batch `number` of the reference text that a method reads in addition to the domain, reshuffled in every epoch.

    numpy shuffles, not grain: with one seed for both, every epoch would pair the same rows of domain and reference.
    """
    count = len(rows.tokens)
    epochs, places = np.divmod(np.arange(number * batch_size, (number + 1) * batch_size), count)
    orders = {epoch: np.random.default_rng((seed, epoch)).permutation(count) for epoch in set(epochs.tolist())}
    chosen = np.array([orders[epoch][place] for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)])
    return {name: getattr(rows, name)[chosen] for name in FIELDS}

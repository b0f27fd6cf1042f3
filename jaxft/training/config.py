"""The settings of one optimisation run."""

from __future__ import annotations

from dataclasses import dataclass

from jaxft.bounds import Whole
from jaxft.optim import AdamSettings


@dataclass(frozen=True)
class Training(AdamSettings):
    """One optimisation run; the same for every method. Lengths in tokens."""

    steps: int = 300
    batch_rows: int = 16  # packed rows per optimizer step, over all accumulated microbatches
    row_length: int = 128
    accumulation: int = 1  # microbatches per step; must divide batch_rows
    loss_chunk: Whole = 0  # tokens of a row whose logits are in memory at once; 0: all
    warmup: int = 20  # steps of linear warm-up, then cosine decay to zero
    on_long: str = "drop"  # examples longer than a row: "drop", "split" (plain text) or "error"
    log_every: int = 10  # steps
    checkpoint_every: int = 100  # steps

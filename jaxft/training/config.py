"""The settings of one optimisation run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Training:
    """One optimisation run; the same for every method."""

    steps: int = 300
    batch_rows: int = 16  # packed rows per optimizer step, over all accumulated microbatches
    row_length: int = 128
    accumulation: int = 1  # microbatches per step; must divide batch_rows
    loss_chunk: int = 0  # tokens of a row whose logits are in memory at once; 0: all
    optimizer_dtype: str = "float32"  # of Adam's moments: "float32", or "bfloat16" rounded stochastically
    weights_dtype: str = "float32"  # of trained weights: "float32", or "bfloat16" rounded stochastically
    warmup: int = 20  # steps of linear warm-up, then cosine decay to zero
    clip: float = 1.0  # global gradient norm
    weight_decay: float = 0.0  # decoupled; toward zero for full weights, toward the base for changes of weights
    beta1: float = 0.9
    beta2: float = 0.999
    on_long: str = "drop"  # examples longer than a row: "drop", "split" (plain text) or "error"
    log_every: int = 10  # steps
    checkpoint_every: int = 100  # steps

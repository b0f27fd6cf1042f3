"""The settings of one optimisation run."""

from dataclasses import dataclass, field

from jaxft.bounds import Count, Whole, join
from jaxft.data.packing import OnLong
from jaxft.errors import require
from jaxft.llama.config import LlamaConfig
from jaxft.optim import AdamSettings
from jaxft.training import trackers


@dataclass(frozen=True)
class Training(AdamSettings):
    """The settings of one optimisation run, the same for every method. Lengths in tokens."""

    steps: Count = 300
    batch_rows: Count = 16  # packed rows per optimizer step, over all accumulated microbatches
    row_length: Count = 128
    accumulation: Count = 1  # microbatches per step; must divide batch_rows
    loss_chunk: Whole = 0  # tokens of a row whose logits are in memory at once; 0: all
    warmup: Whole = 20  # steps of linear warm-up, then cosine decay to zero
    on_long: OnLong = "drop"  # examples longer than a row: leave out, split (plain text), or stop with an error
    log_every: Count = 10  # steps
    checkpoint_every: Count = 100  # steps
    tracker: trackers.Name | None = field(default=None, compare=False)  # draws the metrics too; changes no weight

    def check(self, key: str) -> None:
        parts = self.accumulation
        expected = f"a multiple of {join(key, 'accumulation')}, {parts}"
        require(self.batch_rows % parts == 0, join(key, "batch_rows"), self.batch_rows, expected)

    def check_model(self, key: str, model: LlamaConfig) -> None:
        """UserError for rows longer than the context of the model."""
        model.check_length(join(key, "row_length"), self.row_length)

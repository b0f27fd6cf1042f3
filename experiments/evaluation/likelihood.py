"""Log-likelihood of continuations after contexts, under a model."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxft.distributed import gather
from jaxft.errors import UserError
from jaxft.llama.loss import token_losses
from jaxft.llama.model import Adapters, Llama, forward
from jaxft.progress import tracked
from jaxft.sharding import shard_rows

Tokens = Sequence[int] | np.ndarray

#: Texts are padded to a multiple of this number of tokens, so that few shapes are compiled.
BUCKET = 128


class Scored(NamedTuple):
    """Scores of n continuations, [n] each.

    sums: log p of all tokens (nat). greedy: True if greedy decoding gives the same tokens. counts: number of tokens.
    """

    sums: np.ndarray
    greedy: np.ndarray
    counts: np.ndarray


@jax.jit
def _row_scores(model: Llama, batch: dict[str, jax.Array], adapters: Adapters | None) -> tuple[jax.Array, jax.Array]:
    """-log p of each token in nat, [b, t], log-softmax in float32; number of tokens missed by greedy decoding, [b]."""
    values = forward(model, batch["tokens"], batch["positions"], batch["segments"], adapters=adapters)
    losses = token_losses(values, batch["targets"], batch["weights"])
    missed = (jnp.argmax(values, axis=-1) != batch["targets"]) * batch["weights"]
    return losses, missed.sum(axis=-1)


def continuation_scores(
    model: Llama,
    adapters: Adapters | None,
    pairs: Sequence[tuple[Tokens, Tokens]],
    *,
    batch_size: int,
    limit: int | None = None,
) -> Scored:
    """Scores of pairs (context tokens, continuation tokens), computed on the mesh in use.

    limit: the maximum number of tokens that the model reads at once (None: its context length). A context that leaves
    no room for its continuation loses its first tokens. Pairs of similar length share batches of `batch_size` rows; the
    order of pairs does not change their scores. UserError for an empty context or continuation, or a continuation
    longer than the limit.
    """
    limit = model.config.max_positions if limit is None else min(limit, model.config.max_positions)
    by_width: dict[int, list[int]] = {}
    for index, (context, continuation) in enumerate(pairs):
        _check(index, len(context), len(continuation), limit)
        read = min(len(context) + len(continuation) - 1, limit)  # the last token is only predicted
        by_width.setdefault(min(-(-read // BUCKET) * BUCKET, limit), []).append(index)
    sums, greedy = np.zeros(len(pairs)), np.zeros(len(pairs), bool)
    parts = [
        (width, indices[begin : begin + batch_size])
        for width, indices in sorted(by_width.items())
        for begin in range(0, len(indices), batch_size)
    ]
    for width, some in tracked(parts, "texts", len(pairs), batch_size):
        batch = shard_rows(_batch([pairs[i] for i in some], batch_size, width), model.compute.layout)
        losses, missed = map(gather, _row_scores(model, batch, adapters))
        sums[some] = -losses[: len(some)].sum(axis=1, dtype=np.float64)
        greedy[some] = missed[: len(some)] == 0
    return Scored(sums, greedy, np.array([len(continuation) for _, continuation in pairs], int))


def _check(index: int, context: int, continuation: int, limit: int) -> None:
    if not context or not continuation:
        raise UserError(
            f"Pair {index} (from 0) has {context} tokens of context and {continuation} to score; each needs at least 1."
        )
    if continuation > limit:
        raise UserError(
            f"Pair {index} (from 0) has {continuation} tokens to score; the model reads at most {limit} at once."
        )


def _batch(pairs: Sequence[tuple[Tokens, Tokens]], rows: int, width: int) -> dict[str, np.ndarray]:
    """A batch with one pair per row, padded at the end; rows that only fill the batch have weight 0."""
    tokens, positions, segments, targets = (np.zeros((rows, width), np.int32) for _ in range(4))
    weights = np.zeros((rows, width), np.float32)
    for row, (context, continuation) in enumerate(pairs):
        text = np.array([*context, *continuation], np.int32)[-(width + 1) :]
        end = len(text) - 1
        tokens[row, :end], targets[row, :end] = text[:-1], text[1:]
        positions[row, :end], segments[row, :end] = np.arange(end), 1
        weights[row, end - len(continuation) : end] = 1
    return {"tokens": tokens, "positions": positions, "segments": segments, "targets": targets, "weights": weights}

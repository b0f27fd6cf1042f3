"""Measure one model on one axis: a score for every example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from experiments.setup import Base, load_examples
from experiments.tasks import RULES
from jaxft.config import Axis, Evaluation, Source
from jaxft.data.batches import FIELDS
from jaxft.data.example import Example
from jaxft.data.packing import pack
from jaxft.data.template import encode, encode_prompt
from jaxft.distributed import whole
from jaxft.llama.generate import generate
from jaxft.llama.model import Adapters, Llama, forward
from jaxft.sharding import put_rows
from jaxft.training.step import token_losses

#: Texts are padded to a multiple of this many tokens.
BUCKET = 128

_losses = jax.jit(
    lambda model, batch, adapters: token_losses(
        forward(model, batch["tokens"], batch["positions"], batch["segments"], adapters=adapters),
        batch["targets"],
        batch["weights"],
    )
)


@dataclass(frozen=True)
class Scores:
    """One axis of one model. values: 1 right, 0 wrong, or nat/token; weights: tokens of a likelihood, else 1."""

    values: np.ndarray
    weights: np.ndarray
    replies: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        return float((self.values * self.weights).sum() / self.weights.sum())


def describe_axis(axis: Axis) -> dict[str, object]:
    """The axis as the record states it."""
    likelihood = axis.task == "likelihood"
    return {
        "task": f"likelihood of {axis.source.name}" if likelihood else axis.task,
        "metric": "loss" if likelihood else "accuracy",
        "unit": "nat/token" if likelihood else "fraction",
        "higher_is_better": not likelihood,
        "examples": len(load_examples([axis.source])),
    }


def measure(
    base: Base, model: Llama, adapters: Adapters | None, axis: Axis, source: Source, evaluation: Evaluation
) -> Scores:
    """Score every example of `source` by the axis's task."""
    examples = load_examples([source])
    if axis.task == "likelihood":
        return _likelihood(base, model, adapters, examples, evaluation)
    prompts = [encode_prompt(example, base.tokenizer, base.settings.template) for example in examples]
    replies = base.tokenizer.batch_decode(
        generate(
            model,
            prompts,
            max_new_tokens=evaluation.max_new_tokens,
            batch_size=evaluation.batch_size,
            adapters=adapters,
        ),
        skip_special_tokens=True,
    )
    rule = RULES[axis.task]
    values = np.array([rule(example, reply) for example, reply in zip(examples, replies, strict=True)], float)
    return Scores(values, np.ones_like(values), tuple(replies))


def measure_axes(
    base: Base, model: Llama, adapters: Adapters | None, evaluation: Evaluation, *, validation: bool
) -> dict[str, Scores]:
    """Every axis, on its validation or its test examples."""
    axes: Mapping[str, Axis] = evaluation.axes
    return {
        name: measure(base, model, adapters, axis, axis.validation if validation else axis.source, evaluation)
        for name, axis in axes.items()
    }


def _likelihood(
    base: Base, model: Llama, adapters: Adapters | None, examples: list[Example], evaluation: Evaluation
) -> Scores:
    """Mean -log p of each text's weighted tokens; texts longer than a row are read in windows of that length."""
    limit = min(evaluation.row_length, model.config.max_positions)
    sums, counts = np.zeros(len(examples)), np.zeros(len(examples))
    by_width: dict[int, list[tuple[int, dict[str, np.ndarray]]]] = {}
    for index, example in enumerate(examples):
        rows = pack([encode(example, base.tokenizer, base.settings.template)], limit, "split")
        for row in range(len(rows.tokens)):
            width = min(-(-int((rows.segments[row] > 0).sum()) // BUCKET) * BUCKET, limit)
            by_width.setdefault(width, []).append((index, {f: getattr(rows, f)[row, :width] for f in FIELDS}))
    for windows in by_width.values():
        for begin in range(0, len(windows), evaluation.batch_size):
            owners, parts = zip(*windows[begin : begin + evaluation.batch_size], strict=True)
            fill = ((0, evaluation.batch_size - len(parts)), (0, 0))
            batch = {f: np.pad(np.stack([part[f] for part in parts]), fill) for f in FIELDS}
            losses = whole(_losses(model, put_rows(batch, model.compute.layout), adapters)).sum(axis=1)
            np.add.at(sums, list(owners), losses[: len(parts)])
            np.add.at(counts, list(owners), batch["weights"].sum(axis=1)[: len(parts)])
    return Scores(sums / counts, counts)

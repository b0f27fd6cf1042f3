"""Measure one model on one axis: a score for every example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.likelihood import continuation_scores
from experiments.setup import Base, load_examples
from experiments.tasks import RULES, choice
from jaxft.config import Axis, Evaluation, Source
from jaxft.data.example import Example
from jaxft.data.template import encode, encode_prompt
from jaxft.errors import UserError
from jaxft.llama.generate import generate
from jaxft.llama.model import Adapters, Llama


@dataclass(frozen=True)
class Scores:
    """One axis of one model. values: 1 right, 0 wrong, or nat/token; weights: tokens of a likelihood, else 1;
    replies: what was generated or chosen."""

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
        "task": axis.task if axis.task == axis.source.name else f"{axis.task} of {axis.source.name}",
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
    if axis.task == "choice":
        chosen = choice.choose(model, adapters, examples, base.tokenizer, base.settings.template, evaluation.batch_size)
        values = np.array([option == example.response for example, option in zip(examples, chosen, strict=True)], float)
        return Scores(values, np.ones_like(values), tuple(chosen))
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
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    owners: list[int] = []
    for index, example in enumerate(examples):
        one = encode(example, base.tokenizer, base.settings.template)
        if not one.weights.any():
            raise UserError(f"Example {index} (from 0) has no token to predict: its text is empty.")
        for start in range(0, len(one.tokens) - 1, limit):
            window = one.tokens[start : start + limit + 1]
            learnt = int(one.weights[start + 1 : start + limit + 1].sum())  # always the last ones
            if learnt:
                pairs.append((window[:-learnt], window[-learnt:]))
                owners.append(index)
    scored = continuation_scores(model, adapters, pairs, batch_size=evaluation.batch_size, limit=limit)
    sums = np.bincount(owners, -scored.sums, minlength=len(examples))
    counts = np.bincount(owners, scored.counts, minlength=len(examples))
    return Scores(sums / counts, counts)

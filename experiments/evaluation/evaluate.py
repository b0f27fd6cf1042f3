"""Measure one model on one axis: a score for every example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.base_model import Base, load_examples, note
from experiments.config import Axis, Evaluation
from experiments.evaluation.judges.base import Judge
from experiments.evaluation.likelihood import continuation_scores
from experiments.evaluation.tasks import BINARY, RUBRICS, RULES, answers, choice, judged
from experiments.store.record import AxisDescription
from jaxft.data.example import Example
from jaxft.data.source import Source
from jaxft.data.template import encode, encode_prompt
from jaxft.errors import UserError
from jaxft.llama.generate import generate
from jaxft.llama.model import Adapters, Llama


@dataclass(frozen=True)
class Scores:
    """One axis of one model.

    values: 1 right, 0 wrong, a likeness in [0, 1] or nat/token; nan where a judge gave no verdict, which counts as
    neither. weights: tokens of a likelihood, else 1. replies: what was generated or chosen. labels: what a judge said.
    complete: False where a server left replies or verdicts open, which another call may get.
    """

    values: np.ndarray
    weights: np.ndarray
    replies: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    complete: bool = True

    @property
    def judged(self) -> np.ndarray:
        """Which examples have a score, [n] bool."""
        return np.isfinite(self.values)

    @property
    def mean(self) -> float:
        """Over the examples that have a score; nan where none has."""
        kept = self.judged
        if not kept.any():
            return float("nan")
        return float((self.values * self.weights)[kept].sum() / self.weights[kept].sum())


def higher_is_better(axis: Axis) -> bool:
    """Whether more of an axis' score is better: of all but losses."""
    return axis.task != "likelihood"


def describe_axis(axis: Axis) -> AxisDescription:
    """The axis as the record states it."""
    likelihood = axis.task == "likelihood"
    return AxisDescription(
        task=axis.task if axis.task == axis.source.name else f"{axis.task} of {axis.source.name}",
        metric="loss" if likelihood else "accuracy" if axis.task in BINARY else axis.task,
        unit="nat/token" if likelihood else "fraction",
        higher_is_better=higher_is_better(axis),
        examples=len(load_examples([axis.source])),
    )


def measure(
    base: Base,
    model: Llama,
    adapters: Adapters | None,
    axis: Axis,
    source: Source,
    evaluation: Evaluation,
    judge: Judge | None = None,
) -> Scores:
    """Score every example of `source` by the axis's task; judged tasks need a judge.

    A prompt that leaves no room for its reply in the model's context loses its beginning; how many did is told.
    """
    examples = load_examples([source])
    if axis.task == "likelihood":
        return _likelihood(base, model, adapters, examples, evaluation)
    if axis.task == "choice":
        chosen = choice.choose(model, adapters, examples, base.tokenizer, base.settings.template, evaluation.batch_size)
        values = np.array([option == example.response for example, option in zip(examples, chosen, strict=True)], float)
        return Scores(values, np.ones_like(values), tuple(chosen))
    prompts = [encode_prompt(example, base.tokenizer, base.settings.template) for example in examples]
    room = model.config.max_positions - evaluation.max_new_tokens
    if room > 0 and (long := sum(len(prompt) > room for prompt in prompts)):
        note(f"{source.name}: {long} of {len(prompts)} prompts have more than {room} tokens and lose their beginning")
        prompts = [prompt[-room:] for prompt in prompts]
    tokens = generate(
        model,
        prompts,
        max_new_tokens=evaluation.max_new_tokens,
        batch_size=evaluation.batch_size,
        adapters=adapters,
    )
    replies = base.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return score_replies(axis.task, examples, replies, [len(t) == evaluation.max_new_tokens for t in tokens], judge)


def score_replies(
    task: str,
    examples: Sequence[Example],
    replies: Sequence[str | None],
    truncated: Sequence[bool],
    judge: Judge | None = None,
) -> Scores:
    """Score a reply to every example. truncated: which of them the model had not ended. None: no reply, no score."""
    answered = [i for i, reply in enumerate(replies) if reply is not None]
    texts = ["" if reply is None else reply for reply in replies]
    values, labels = np.full(len(examples), np.nan), [""] * len(examples)
    complete = len(answered) == len(examples)
    if task in RUBRICS:
        assert judge is not None, "a judged task needs a judge"
        asked = [judged.question(task, examples[i], texts[i], truncated[i]) for i in answered]
        for i, verdict in zip(answered, judge.verdicts(asked), strict=True):
            values[i] = np.nan if verdict.good is None else float(verdict.good)
            labels[i] = judged.label(verdict)
            complete &= not verdict.open
    else:
        rule = RULES.get(task) or partial(answers.score, task)
        values[answered] = [float(rule(examples[i], texts[i])) for i in answered]
    return Scores(values, np.ones_like(values), tuple(texts), tuple(labels) if task in RUBRICS else (), complete)


def measure_axes(
    base: Base,
    model: Llama,
    adapters: Adapters | None,
    evaluation: Evaluation,
    judge: Judge | None = None,
    *,
    validation: bool,
) -> dict[str, Scores]:
    """Every axis, on its validation or its test examples."""
    axes: Mapping[str, Axis] = evaluation.axes
    return {
        name: measure(base, model, adapters, axis, axis.validation if validation else axis.source, evaluation, judge)
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

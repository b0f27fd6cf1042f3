"""The base class of tasks, which ask a model for replies and score them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from experiments.base_model import Base
from experiments.config import Evaluation
from experiments.data.sources import load_examples
from experiments.evaluation.judges.base import Judge
from experiments.evaluation.scores import Scores
from jaxft.data.example import Example
from jaxft.data.source import Source
from jaxft.llama.generate import generate
from jaxft.llama.model import Adapters, Llama

log = logging.getLogger("jaxft")


class Score(NamedTuple):
    """The score of one reply.

    value: 1 right, 0 wrong, a degree in [0, 1], or NaN without a verdict. label: a name for what the reply does, or "".
    open: there is no verdict yet; asking again may give one.
    """

    value: float
    label: str = ""
    open: bool = False


class Subject(NamedTuple):
    """A model to measure; `base` gives its tokenizer and template."""

    base: Base
    model: Llama
    adapters: Adapters | None
    evaluation: Evaluation


@dataclass(frozen=True)
class Task:
    """A measurement: the model generates a reply to every prompt, and `score` rates it. Subclasses change these steps.

    score: (example, reply) -> Score; None in subclasses that do not need it.
    missing: example -> its defect for this task, as in "the example has {missing}"; "" if it is usable.
    corpus: True if `score` reads keys that only the embedded corpus of the task's name has.
    metric, unit: those of the mean score, for the record.
    """

    name: str
    score: Callable[[Example, str], Score] | None = None
    missing: Callable[[Example], str] = lambda example: ""
    corpus: bool = False
    metric: str = "accuracy"
    unit: str = "fraction"
    higher_is_better: bool = True

    by_reply: ClassVar[bool] = True  # True if replies alone can be scored, as those of a server

    def measure(self, subject: Subject, source: Source, judge: Judge | None = None) -> Scores:
        """Scores of every example of `source`; a judged task needs a judge."""
        examples = load_examples([source])
        return self.scores(examples, *self.ask(subject, source, examples), judge)

    def ask(
        self, subject: Subject, source: Source, examples: Sequence[Example]
    ) -> tuple[Sequence[str], Sequence[bool]]:
        """The model's greedy reply to each example, and True for each reply of `max_new_tokens` tokens (cut off).

        A prompt that leaves no room for its reply in the model's context loses its first tokens, which is logged.
        """
        base, model, adapters, evaluation = subject
        prompts = [base.encode_prompt(example) for example in examples]
        limit = evaluation.max_new_tokens
        room = model.config.max_positions - limit
        if room > 0 and (long := sum(len(prompt) > room for prompt in prompts)):
            log.info(
                f"{source.name}: {long} of {len(prompts)} prompts have more than {room} tokens and lose their beginning"
            )
            prompts = [prompt[-room:] for prompt in prompts]
        tokens = generate(model, prompts, max_new_tokens=limit, batch_size=evaluation.batch_size, adapters=adapters)
        replies = base.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return replies, [len(one) == limit for one in tokens]

    def scores(
        self,
        examples: Sequence[Example],
        replies: Sequence[str | None],
        truncated: Sequence[bool],
        judge: Judge | None = None,
    ) -> Scores:
        """Scores of one reply per example (None: no reply came); truncated: True if the model did not end its reply."""
        answered = [i for i, reply in enumerate(replies) if reply is not None]
        texts = ["" if reply is None else reply for reply in replies]
        cut = [truncated[i] for i in answered]
        rated = self.rate([examples[i] for i in answered], [texts[i] for i in answered], cut, judge)
        found = [Score(np.nan, open=True)] * len(examples)
        for i, score in zip(answered, rated, strict=True):
            found[i] = score
        values, labels = np.array([score.value for score in found], float), tuple(score.label for score in found)
        complete = not any(score.open for score in found)
        return Scores(values, np.ones_like(values), tuple(texts), labels if any(labels) else (), complete)

    def rate(
        self, examples: Sequence[Example], replies: Sequence[str], truncated: Sequence[bool], judge: Judge | None
    ) -> list[Score]:
        """One Score per reply."""
        assert self.score is not None, f"the task {self.name} has no rule for replies"
        return [self.score(example, reply) for example, reply in zip(examples, replies, strict=True)]


def said(example: Example) -> str:
    """The conversation before the reply, one line per message."""
    return "\n".join(f"{message.role}: {message.content}" for message in example.messages)

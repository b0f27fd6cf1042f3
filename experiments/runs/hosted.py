"""One fine-tuning job at a provider: begun once, awaited, and measured by its replies beside the provider's base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from experiments.config import Hosted
from experiments.data.sources import load_examples
from experiments.endpoints.chat import Chat
from experiments.evaluation.scores import Scores, cached_scores
from experiments.evaluation.tasks import TASKS
from experiments.hosted.finetuning import fine_tune
from experiments.hosted.replies import replies
from experiments.runs.workspace import Workspace
from jaxft.training.metrics import TIMINGS


@dataclass(frozen=True)
class HostedRun:
    """A `Run` whose weights a provider keeps: nothing is certified or exported. One process alone may ask."""

    work: Workspace
    name: str
    settings: Hosted
    learning_rate: float
    seed: int

    delta_norm: ClassVar[None] = None  # nobody here has seen the weights

    @property
    def folder(self) -> Path:
        return self.work.run_folder(self.name, self.learning_rate, self.seed)

    @cached_property
    def model(self) -> str:
        """The name of the fine-tuned model, trained now unless it was before."""
        examples = load_examples(self.work.experiment.domain)
        return fine_tune(self.settings, examples, self.folder, self.seed, self.learning_rate)

    @property
    def base_scores(self) -> dict[str, Scores]:
        """Every axis of the provider's base, on test examples."""
        path = self.work.out / self.name / "base_test.json"
        return cached_scores(path, lambda: self._measure(lambda: self.settings.endpoint.model, validation=False))

    def scores(self, *, validation: bool) -> dict[str, Scores]:
        """Every axis of the fine-tuned model, on validation or test examples."""
        path = self.folder / ("validation.json" if validation else "test.json")
        return cached_scores(path, lambda: self._measure(lambda: self.model, validation=validation))

    def result(self) -> dict[str, Any]:
        """What is known of weights that nobody here has seen: nothing but the model's name, and what all replies of
        the method have cost until now, in US dollars."""
        unknown = dict.fromkeys(("delta_norm", "certificate", "memory", "trained_parameters"))
        known = {"reference": "none", "model": self.model, "cost": self._chat("").usage.cost}
        return {**unknown, "timings": dict.fromkeys(TIMINGS), **known}

    def forget_checkpoints(self) -> None:
        """There are none here."""

    def _chat(self, model: str) -> Chat:
        endpoint = replace(self.settings.endpoint, model=model)
        return Chat(endpoint, self.work.out / self.name / "replies", self.settings.max_cost)

    def _measure(self, model: Callable[[], str], *, validation: bool) -> dict[str, Scores]:
        evaluation, chat = self.work.experiment.evaluation, self._chat(model())
        found = {}
        for name, axis in evaluation.axes.items():
            examples = load_examples([axis.validation if validation else axis.source])
            answers = replies(chat, examples, evaluation.max_new_tokens)
            texts = [answer.text if answer else None for answer in answers]
            cut = [answer is not None and answer.finish == "length" for answer in answers]
            found[name] = TASKS[axis.task].scores(examples, texts, cut, self.work.judge)
        return found

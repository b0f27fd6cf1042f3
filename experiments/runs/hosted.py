"""One fine-tuning job at a provider: started once, awaited, and compared with the provider's base by its replies."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from experiments.config import Hosted
from experiments.data.sources import load_examples
from experiments.endpoints.chat import Chat
from experiments.evaluation.scores import Scores, cached_scores
from experiments.evaluation.tasks import TASKS
from experiments.hosted.finetuning import fine_tune
from experiments.hosted.replies import replies
from experiments.runs.workspace import Workspace
from experiments.store.record.method import NOT_TIMED, RunResult


@dataclass(frozen=True)
class HostedRun:
    """A `Run` whose weights stay at a provider: nothing is certified or exported. Only one process may use it."""

    work: Workspace
    name: str
    settings: Hosted
    learning_rate: float
    seed: int

    delta_norm: ClassVar[None] = None  # the provider does not give out the weights

    @property
    def folder(self) -> Path:
        return self.work.run_folder(self.name, self.learning_rate, self.seed)

    @cached_property
    def model(self) -> str:
        """The provider's name of the fine-tuned model, which is trained first if necessary."""
        examples = load_examples(self.work.experiment.domain)
        return fine_tune(self.settings, examples, self.folder, self.seed, self.learning_rate)

    @property
    def base_scores(self) -> dict[str, Scores]:
        """The scores of the provider's base on the test examples of every axis."""
        path = self.work.out / self.name / "base_test.json"
        return cached_scores(path, lambda: self._measure(lambda: self.settings.endpoint.model, validation=False))

    def scores(self, *, validation: bool) -> dict[str, Scores]:
        """The scores of the fine-tuned model on the validation or test examples of every axis."""
        path = self.folder / ("validation.json" if validation else "test.json")
        return cached_scores(path, lambda: self._measure(lambda: self.model, validation=validation))

    def result(self) -> RunResult:
        """The model's name and the cost of all replies of the method so far, in US dollars; no weights, no timings."""
        return RunResult(
            delta_norm=None,
            certificate=None,
            reference="none",
            timings=NOT_TIMED,
            trained_parameters=None,
            model=self.model,
            cost=self._chat("").usage.cost,
        )

    def forget_checkpoints(self) -> None:
        """Do nothing: the provider keeps the weights."""

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

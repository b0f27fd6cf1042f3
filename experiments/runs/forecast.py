"""Forecast of the requests to hosted systems and of their cost, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax

from experiments.config import Auto, Axis, Endpoint, Experiment, Hosted, Tuned
from experiments.data.sources import load_examples
from experiments.endpoints import access
from experiments.endpoints.chat import Chat, Request
from experiments.evaluation.judges.hosted import Hosted as HostedJudge
from experiments.evaluation.tasks import TASKS
from experiments.evaluation.tasks.judged import Judged
from experiments.hosted import files
from experiments.hosted.finetuning import dry_run, training_cost
from experiments.runs.workspace import Workspace
from jaxft.data.source import Source
from jaxft.errors import UserError
from jaxft.methods import Method

CHARACTERS = 4  # assumed characters per token of a reply that does not exist yet


class Asked(NamedTuple):
    """Number of requests to a server and their highest cost in US dollars (one token per byte, longest answers)."""

    count: int
    cost: float


def forecast(work: Workspace) -> str:
    """Lines of text for each provider and for the judge. Writes the training files into `work.dry_run`."""
    lines = []
    for name, settings in _hosted(work.experiment).items():
        planned, asked = (
            dry_run(settings, load_examples(work.experiment.domain), work.dry_run / name),
            _replies(work, name),
        )
        # Every rate is trained with the first seed, and the chosen rate with all other seeds.
        jobs = len(settings.learning_rates) + len(work.experiment.seeds) - 1
        lines.append(
            f"{name}: {jobs} jobs of {planned.examples} examples in {planned.file}, about {planned.tokens:,} tokens an "
            f"epoch and {planned.cost:.2f} US dollars each; {asked.count:,} replies for at most {asked.cost:.2f} US "
            "dollars"
        )
    if isinstance(work.judge, HostedJudge):
        asked = _verdicts(work.judge, work)
        lines.append(
            f"judge {work.judge.name}: at most {asked.count:,} verdicts for {asked.cost:.2f} US dollars, each asked "
            "for once"
        )
    return "\n".join(lines) or "nothing would be sent anywhere: no method and no judge is hosted"


def check_hosted(work: Workspace) -> None:
    """UserError if a hosted system cannot be asked or could cost more than `max_cost`. Nothing is sent."""
    experiment, domain = work.experiment, load_examples(work.experiment.domain)
    for name, settings in _hosted(experiment).items():
        if jax.process_count() > 1:
            raise UserError(f"methods.{name}: a provider is asked by one process; leave this method out here")
        files.content(domain)
        key, asked = f"methods.{name}.max_cost", _replies(work, name)
        _check_cap(
            key, settings.max_cost, "a training", training_cost(settings, domain), "train fewer examples or epochs"
        )
        _check_cap(key, settings.max_cost, f"its {asked.count:,} replies", asked.cost, "limit the sources of the axes")
        _check_access(settings.endpoint, settings.provider)
    if isinstance(work.judge, HostedJudge):
        settings, asked = experiment.judge, _verdicts(work.judge, work)
        what = f"{asked.count:,} verdicts"
        _check_cap("judge.max_cost", settings.max_cost, what, asked.cost, "limit the sources of the judged axes")
        assert settings.endpoint is not None
        _check_access(settings.endpoint)


def _check_cap(key: str, cap: float, what: str, cost: float, remedy: str) -> None:
    if cost > cap:
        raise UserError(
            f"{key}: {cap:g} US dollars, and {what} could cost {cost:.4g}; raise it, or {remedy}.\n"
            "Nothing was sent. `jaxft compare --dry-run` lists what would be."
        )


def _check_access(endpoint: Endpoint, *packages: str) -> None:
    access.key(endpoint)
    for name in ("openai", *packages):
        access.package(name)


def _hosted(experiment: Experiment) -> dict[str, Hosted]:
    return {name: method for name, method in experiment.methods.items() if isinstance(method, Hosted)}


def _replies(work: Workspace, name: str) -> Asked:
    """The requests to a provider's base and to its fine-tuned models."""
    experiment, settings = work.experiment, _hosted(work.experiment)[name]
    chat = Chat(replace(settings.endpoint, model=""), work.dry_run / name, settings.max_cost)
    count, cost = 0, 0.0
    for axis in experiment.evaluation.axes.values():
        for source, times in _measured([settings], len(experiment.seeds), axis):
            requests = [Request(one.messages, experiment.evaluation.max_new_tokens) for one in load_examples([source])]
            count, cost = count + times * len(requests), cost + times * chat.estimate(requests)
    return Asked(count, cost)


def _verdicts(judge: HostedJudge, work: Workspace) -> Asked:
    """The requests to the judge about the replies of all methods, if every first answer can be parsed."""
    experiment, looks = work.experiment, _looks(work.experiment)
    reply = "x" * CHARACTERS * experiment.evaluation.max_new_tokens
    count, cost = 0, 0.0
    for name, axis in experiment.evaluation.axes.items():
        task = TASKS[axis.task]
        if isinstance(task, Judged):
            sources = _measured([*experiment.methods.values()], len(experiment.seeds), axis)
            if looks:
                sources.append((work.watched.axes[name].validation, looks))
            for source, times in sources:
                questions = [task.question(one, reply) for one in load_examples([source])]
                count, cost = count + times * len(questions), cost + times * judge.estimate(questions)
    return Asked(count, cost)


def _looks(experiment: Experiment) -> int:
    """The number of evaluations of an axis while training: one for the base, plus those of every run trained here."""
    watch, steps = experiment.evaluation.watch, experiment.training.steps
    rates = [
        len(settings.learning_rates)
        for settings in experiment.methods.values()
        if not isinstance(settings, (Hosted, Tuned))
    ]
    if watch is None or not rates:
        return 0
    return 1 + (sum(rates) + len(rates) * (len(experiment.seeds) - 1)) * math.ceil(steps / watch.every)


def _measured(methods: Sequence[Method | Auto | Hosted | Tuned], seeds: int, axis: Axis) -> list[tuple[Source, int]]:
    """[(source of an axis, number of models that reply to it)]. Test data: every run, every provider's base, and the
    base of the other methods. Validation data: the first-seed runs of methods with several learning rates."""
    rates = [len(settings.learning_rates) for settings in methods]
    provided, tuned = (sum(isinstance(settings, kind) for settings in methods) for kind in (Hosted, Tuned))
    runs = sum(rates) + (len(methods) - tuned) * (seeds - 1) + tuned
    replied = runs + provided + (provided < len(methods))
    return [(axis.source, replied), (axis.validation, sum(number for number in rates if number > 1))]

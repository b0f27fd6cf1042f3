"""What hosted systems would be sent and what it would cost, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax

from experiments.config import Auto, Axis, Endpoint, Experiment, Hosted
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

CHARACTERS = 4  # of a reply that is not there yet, for each token that it may have


class Asked(NamedTuple):
    """Questions to a server and the most that they can cost, in US dollars: answers as long as they may be, a token
    for every byte of a question."""

    count: int
    cost: float


def forecast(work: Workspace) -> str:
    """A line for each provider and for the judge; training files are written into `dry_run` of the output folder."""
    lines = []
    for name, settings in _hosted(work.experiment).items():
        planned, asked = (
            dry_run(settings, load_examples(work.experiment.domain), work.dry_run / name),
            _replies(work, name),
        )
        # The first seed of the chosen rate is of the sweep.
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
    """UserError where a hosted system could not be asked, or could cost more than it may; nothing is sent."""
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
    """What a provider's base and its fine-tuned models are asked."""
    experiment, settings = work.experiment, _hosted(work.experiment)[name]
    chat = Chat(replace(settings.endpoint, model=""), work.dry_run / name, settings.max_cost)
    count, cost = 0, 0.0
    for axis in experiment.evaluation.axes.values():
        for source, times in _measured([settings], len(experiment.seeds), axis):
            requests = [Request(one.messages, experiment.evaluation.max_new_tokens) for one in load_examples([source])]
            count, cost = count + times * len(requests), cost + times * chat.estimate(requests)
    return Asked(count, cost)


def _verdicts(judge: HostedJudge, work: Workspace) -> Asked:
    """What the judge is asked about the replies of all methods, where every first answer can be read."""
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
    """How often an axis is evaluated while training: once of the base, and of every run that is trained here."""
    watch, steps = experiment.evaluation.watch, experiment.training.steps
    rates = [
        len(settings.learning_rates) for settings in experiment.methods.values() if not isinstance(settings, Hosted)
    ]
    if watch is None or not rates:
        return 0
    return 1 + (sum(rates) + len(rates) * (len(experiment.seeds) - 1)) * math.ceil(steps / watch.every)


def _measured(methods: Sequence[Method | Auto | Hosted], seeds: int, axis: Axis) -> list[tuple[Source, int]]:
    """The sources of an axis and how often they are replied to: to test data by every run, by the base of every
    provider and by the one of all methods that are trained here; to validation data by the runs of a sweep."""
    rates = [len(settings.learning_rates) for settings in methods]
    provided = sum(isinstance(settings, Hosted) for settings in methods)
    replied = sum(rates) + len(methods) * (seeds - 1) + provided + (provided < len(methods))
    return [(axis.source, replied), (axis.validation, sum(number for number in rates if number > 1))]

"""`jaxft compare --dry-run`: what would be sent to hosted systems, and what it would cost. Nothing is sent."""

from __future__ import annotations

from dataclasses import replace

from experiments.judges.hosted import Hosted as HostedJudge
from experiments.providers.chat import Chat, Request
from experiments.providers.finetuning import dry_run
from experiments.run import Workspace
from experiments.setup import load_examples
from experiments.tasks import RUBRICS, judged
from jaxft.config import Axis, Experiment, Hosted, Method, Source

CHARACTERS = 4  # of a reply that is not there yet, for each token that it may have


def forecast(work: Workspace) -> str:
    """A line for each provider and for the judge; training files are written into the output folder.

    Costs are the most that can be asked for: replies as long as they may be, a token for every byte of a prompt.
    """
    experiment = work.experiment
    lines = [_provider(work, name, m) for name, m in experiment.methods.items() if isinstance(m, Hosted)]
    if isinstance(work.judge, HostedJudge):
        lines.append(_judge(work.judge, experiment))
    return "\n".join(lines) or "nothing would be sent anywhere: no method and no judge is hosted"


def _provider(work: Workspace, name: str, settings: Hosted) -> str:
    experiment = work.experiment
    planned = dry_run(settings, load_examples(experiment.domain), work.out / name)
    jobs = len(settings.learning_rates) + len(experiment.seeds) - 1  # the first seed of the chosen rate is of the sweep
    chat = Chat(replace(settings.endpoint, model=""), work.out / name / "replies", settings.max_cost)
    asked, cost = 0, 0.0
    for axis in experiment.evaluation.axes.values():
        for source, times in _measured(experiment, settings, axis):
            requests = [Request(one.messages, experiment.evaluation.max_new_tokens) for one in load_examples([source])]
            asked, cost = asked + times * len(requests), cost + times * chat.estimate(requests)
    return (
        f"{name}: {jobs} jobs of {planned.examples} examples in {planned.file}, about {planned.tokens:,} tokens an "
        f"epoch and {planned.cost:.2f} US dollars each; {asked:,} replies for at most {cost:.2f} US dollars"
    )


def _measured(experiment: Experiment, settings: Method | Hosted, axis: Axis) -> list[tuple[Source, int]]:
    """The sources of an axis and how often a method replies to them: its base and every run on test data, and where
    learning rates are swept, every rate on validation data."""
    rates = len(settings.learning_rates)
    swept = rates if rates > 1 else 0
    return [(axis.source, rates + len(experiment.seeds)), (axis.validation, swept)]


def _judge(judge: HostedJudge, experiment: Experiment) -> str:
    reply = "x" * CHARACTERS * experiment.evaluation.max_new_tokens
    asked, cost = 0, 0.0
    for axis in experiment.evaluation.axes.values():
        if axis.task not in RUBRICS:
            continue
        for settings in experiment.methods.values():
            for source, times in _measured(experiment, settings, axis):
                questions = [judged.question(axis.task, one, reply, False) for one in load_examples([source])]
                asked, cost = asked + times * len(questions), cost + times * judge.estimate(questions)
    return f"judge {judge.name}: at most {asked:,} verdicts for {cost:.2f} US dollars, each asked for once"

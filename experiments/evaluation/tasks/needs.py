"""What an example must carry, for tasks that take examples of any source."""

from __future__ import annotations

from functools import partial

from experiments.config import Evaluation
from experiments.data.sources import load_examples
from experiments.evaluation.tasks import answers, choice, judged
from jaxft.errors import UserError

#: example -> what it lacks to be one of the task, or ""; by task name.
NEEDS = {
    "choice": choice.missing,
    **dict.fromkeys(answers.LIKENESS, answers.missing),
    **{task: partial(judged.missing, task) for task in judged.RUBRICS},
}


def check_examples(evaluation: Evaluation) -> None:
    """UserError for the first example of an axis that lacks what the axis's task needs."""
    for name, axis in evaluation.axes.items():
        lacks = NEEDS.get(axis.task)
        if lacks is None:
            continue
        for part, source in (("source", axis.source), ("validation", axis.validation)):
            for index, example in enumerate(load_examples([source])):
                if lack := lacks(example):
                    raise UserError(
                        f"evaluation.axes.{name}.{part}: example {index} (from 0) of {source.name!r} has {lack}.\n"
                        f"Name a source whose examples fit the task {axis.task!r}, or use another task."
                    )

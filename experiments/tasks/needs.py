"""What an example must carry, for tasks that take examples of any source."""

from __future__ import annotations

from functools import partial

from experiments.setup import load_examples
from experiments.tasks import answers, choice, judged
from jaxft.config import Axis
from jaxft.errors import UserError

#: example -> what it lacks to be one of the task, or ""; by task name.
NEEDS = {
    "choice": choice.missing,
    **dict.fromkeys(answers.LIKENESS, answers.missing),
    **{task: partial(judged.missing, task) for task in judged.RUBRICS},
}


def check_examples(name: str, axis: Axis) -> None:
    """UserError for the first example of the axis of this name that lacks what its task needs."""
    if axis.task not in NEEDS:
        return
    for part, source in (("source", axis.source), ("validation", axis.validation)):
        for index, example in enumerate(load_examples([source])):
            if lack := NEEDS[axis.task](example):
                raise UserError(
                    f"evaluation.axes.{name}.{part}: example {index} (from 0) of {source.name!r} has {lack}.\n"
                    f"Name a source whose examples fit the task {axis.task!r}, or use another task."
                )

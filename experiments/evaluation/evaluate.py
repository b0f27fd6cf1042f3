"""Check and describe the axes of an evaluation, and measure a model on them."""

from experiments.base_model import Base
from experiments.config import Axis, Evaluation
from experiments.data.sources import load_examples
from experiments.evaluation.judges.base import Judge
from experiments.evaluation.scores import Scores
from experiments.evaluation.tasks import TASKS
from experiments.evaluation.tasks.task import Subject
from experiments.store.record import AxisDescription
from jaxft.errors import UserError
from jaxft.llama.model import Adapters, Llama
from jaxft.progress import about


def describe_axis(axis: Axis) -> AxisDescription:
    """The description of an axis for the record."""
    task = TASKS[axis.task]
    return AxisDescription(
        task=task.name if task.name == axis.source.name else f"{task.name} of {axis.source.name}",
        metric=task.metric,
        unit=task.unit,
        higher_is_better=task.higher_is_better,
        examples=len(load_examples([axis.source])),
    )


def check_examples(evaluation: Evaluation) -> None:
    """Raise UserError for the first example of an axis that lacks what the axis's task needs."""
    for name, axis in evaluation.axes.items():
        for part, source in (("source", axis.source), ("validation", axis.validation)):
            for index, example in enumerate(load_examples([source])):
                if lack := TASKS[axis.task].missing(example):
                    raise UserError(
                        f"evaluation.axes.{name}.{part}: example {index} (from 0) of {source.name!r} has {lack}.\n"
                        f"Name a source whose examples fit the task {axis.task!r}, or use another task."
                    )


def measure_axes(
    base: Base,
    model: Llama,
    adapters: Adapters | None,
    evaluation: Evaluation,
    judge: Judge | None = None,
    *,
    validation: bool,
) -> dict[str, Scores]:
    """Scores by axis, on its validation examples if `validation`, else on its test examples."""
    subject = Subject(base, model, adapters, evaluation)
    scores = {}
    for name, axis in evaluation.axes.items():
        with about(name):
            scores[name] = TASKS[axis.task].measure(subject, axis.validation if validation else axis.source, judge)
    return scores

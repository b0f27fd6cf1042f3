"""All checks of a config, run before anything is written and before anything long begins."""

from __future__ import annotations

import difflib

from jax.sharding import Mesh

from experiments.base_model import Base, model_folder
from experiments.config import Evaluation, Experiment, Hosted, Tuned
from experiments.data.generated import check_prompts
from experiments.evaluation.evaluate import check_examples
from experiments.evaluation.tasks import TASKS
from experiments.runs.tuned import check_tuned
from jaxft import bounds
from jaxft.errors import UserError, require
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import LlamaConfig
from jaxft.llama.sharding import check_divides
from jaxft.methods import SafeLora
from jaxft.sharding import LAYOUTS, make_mesh
from jaxft.training.trackers import check_installed


def check(experiment: Experiment) -> None:
    """UserError for the first value that is invalid on its own, with the base model, or on the attached devices."""
    config = check_experiment(experiment)
    check_installed(experiment.training.tracker, "training.tracker")
    check_mesh(experiment, config, make_mesh(experiment.model.sharding))


def check_experiment(experiment: Experiment) -> LlamaConfig:
    """The shape of the base model; UserError for the first value that is invalid whatever the devices."""
    check_settings(experiment)
    _check_methods(experiment)
    check_examples(experiment.evaluation)
    if experiment.reference is not None:
        check_prompts(experiment.reference)
    config = read_config(model_folder(experiment.model.folder))
    check_fit(experiment, config)
    check_unaligned(experiment, config)
    for name, method in experiment.methods.items():
        if isinstance(method, Tuned):
            check_tuned(f"methods.{name}", method, Base(experiment.model), config)
    return config


def check_settings(experiment: Experiment) -> None:
    """UserError for the first value out of its bounds, or axis whose task is unknown or unfit for its data."""
    bounds.check(experiment)
    _check_tasks(experiment.evaluation)


def check_fit(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for rows longer than the model's context, and for methods that do not fit its shape."""
    experiment.training.check_model("training", config)
    if experiment.reference is not None:
        experiment.reference.check_model("reference", config)
    for name, method in experiment.trained.items():
        method.check_model(f"methods.{name}", config)


def check_unaligned(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for an unaligned model whose shape differs from the base's."""
    for name, method in experiment.methods.items():
        if isinstance(method, SafeLora):
            other = read_config(model_folder(method.unaligned))
            if (other.num_layers, other.linear_shapes) != (config.num_layers, config.linear_shapes):
                raise UserError(
                    f"methods.{name}.unaligned: {method.unaligned} has other layers than model.folder, "
                    f"{experiment.model.folder}.\nName the model that this one was made from by safety training."
                )


def check_mesh(experiment: Experiment, config: LlamaConfig, mesh: Mesh | None) -> None:
    """UserError for a model, or a number of rows, that the mesh cannot shard evenly."""
    if mesh is None:
        return
    training, rows = experiment.training, {"evaluation.batch_size": experiment.evaluation.batch_size}
    per_part = "training.batch_rows" if training.accumulation == 1 else "training.batch_rows / training.accumulation"
    rows[per_part] = training.batch_rows // training.accumulation
    if experiment.reference is not None:
        rows["reference.batch_rows"] = experiment.reference.batch_rows
    check_divides(mesh, LAYOUTS[experiment.model.sharding.preset], config, rows)


def _check_tasks(evaluation: Evaluation) -> None:
    for name, axis in evaluation.axes.items():
        key = f"evaluation.axes.{name}"
        if axis.task not in TASKS:
            nearest = difflib.get_close_matches(axis.task, TASKS, n=1, cutoff=0.0)[0]
            raise UserError(f"{key}.task: unknown {axis.task!r}; did you mean {nearest!r}? Known: {', '.join(TASKS)}")
        for part, source in (("source", axis.source), ("validation", axis.validation)):
            if TASKS[axis.task].corpus and source.name != axis.task:
                raise UserError(
                    f"{key}.{part}: found {source.name!r}, expected {axis.task!r}: replies of the task {axis.task!r} "
                    "are judged by keys that its own corpus carries.\nUse the task 'likelihood' for other texts."
                )


def _check_methods(experiment: Experiment) -> None:
    require(bool(experiment.methods), "methods", {}, "at least one method")
    for name, method in experiment.trained.items():
        if experiment.reference is None and method.reference != "none":
            raise UserError(f"methods.{name}: works with reference text, and this config sets no `reference`")
    hosted = [name for name, method in experiment.methods.items() if isinstance(method, Hosted)]
    unfit = [(name, axis.task) for name, axis in experiment.evaluation.axes.items() if not TASKS[axis.task].by_reply]
    if hosted and unfit:
        usable = ", ".join(name for name, task in TASKS.items() if task.by_reply)
        raise UserError(
            f"methods.{hosted[0]}: a provider's model gives replies alone, and evaluation.axes.{unfit[0][0]}.task is "
            f"{unfit[0][1]!r}; use one of {usable}, or leave the method out"
        )

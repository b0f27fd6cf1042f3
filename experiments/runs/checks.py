"""What no run can work with is refused before anything long begins and before anything is written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator
from typing import Any

from jax.sharding import Mesh

from experiments.base_model import model_folder
from experiments.config import Auto, Evaluation, Experiment, Hosted, Reference
from experiments.data.generated import check_prompts
from experiments.evaluation.evaluate import check_examples
from experiments.evaluation.tasks import TASKS
from jaxft import bounds
from jaxft.data.template import TEMPLATES
from jaxft.errors import UserError, require
from jaxft.llama.attention import CHOICES
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import SHAPES, LlamaConfig
from jaxft.llama.hf_tensors import DTYPES
from jaxft.llama.model import REMAT_POLICIES
from jaxft.llama.sharding import check_divides
from jaxft.methods import SafeLora
from jaxft.sharding import LAYOUTS, make_mesh

#: Folders of an output that are no method's.
RESERVED = ("calibration", "judge", "dry_run")
ON_LONG = ("drop", "split", "error")

_CHOICES: dict[str, Collection[str]] = {
    "model.shape": ("", *SHAPES),
    "model.template": TEMPLATES,
    "model.param_dtype": tuple(DTYPES.values()),
    "model.compute_dtype": tuple(DTYPES.values()),
    "model.remat": REMAT_POLICIES,
    "model.sharding.preset": LAYOUTS,
    "model.attention": CHOICES,
    "training.on_long": ON_LONG,
}
_LEAST = {  # whole numbers
    "training.steps": 1,
    "training.batch_rows": 1,
    "training.row_length": 1,
    "training.accumulation": 1,
    "training.warmup": 0,
    "training.log_every": 1,
    "training.checkpoint_every": 1,
    "evaluation.max_new_tokens": 1,
    "evaluation.batch_size": 1,
    "evaluation.row_length": 1,
    "evaluation.watch.every": 1,
    "evaluation.watch.examples": 1,
    "evaluation.watch.stop_after": 0,
    "reference.length": 1,
    "reference.batch_rows": 1,
    "pretrain.hidden_size": 1,
    "pretrain.intermediate_size": 1,
    "pretrain.num_layers": 1,
    "pretrain.num_heads": 1,
    "pretrain.num_kv_heads": 1,
    "pretrain.max_positions": 1,
}
_POSITIVE = ("pretrain.learning_rate",)
_NOT_NEGATIVE = ("evaluation.watch.budget",)


def check(experiment: Experiment) -> None:
    """UserError for a value that is impossible by itself, with the base model that the config names or on the devices
    that are here."""
    config = check_experiment(experiment)
    check_mesh(experiment, config, make_mesh(experiment.model.sharding))


def check_experiment(experiment: Experiment) -> LlamaConfig:
    """UserError for a value that is impossible on any devices; the shape of the base model otherwise."""
    check_settings(experiment)
    check_methods(experiment)
    check_examples(experiment.evaluation)
    if experiment.reference is not None:
        check_prompts(experiment.reference)
    config = read_config(model_folder(experiment.model.folder))
    check_fit(experiment, config)
    check_unaligned(experiment, config)
    return config


def check_settings(experiment: Experiment) -> None:
    """UserError that names the first key with an impossible value."""
    for key, choices in _CHOICES.items():
        for value in _at(experiment, key):
            require(value in choices, key, value, f"one of {', '.join(choices)}")
    for key, least in _LEAST.items():
        for value in _at(experiment, key):
            require(value >= least, key, value, f"at least {least}")
    if (shape := experiment.pretrain) is not None:
        heads, kv_heads = shape.num_heads, shape.num_kv_heads
        require(
            shape.hidden_size % (2 * heads) == 0,
            "pretrain.hidden_size",
            shape.hidden_size,
            f"a multiple of 2 * num_heads, {2 * heads}",
        )
        require(heads % kv_heads == 0, "pretrain.num_heads", heads, f"a multiple of num_kv_heads, {kv_heads}")
    for key in _POSITIVE:
        for value in _at(experiment, key):
            require(0 < value < math.inf, key, value, "a number above 0")
    for key in _NOT_NEGATIVE:
        for value in _at(experiment, key):
            require(0 <= value < math.inf, key, value, "0 or a number above it")
    bounds.check(experiment.training, "training")
    for value in _at(experiment, "reference.heldout"):
        require(0 < value < 1, "reference.heldout", value, "a fraction between 0 and 1")
    for value in _at(experiment, "reference.temperature"):
        require(value > 0, "reference.temperature", value, "more than 0")
    for value in _at(experiment, "reference.certificate_energy"):
        require(0 < value <= 1, "reference.certificate_energy", value, "a fraction in (0, 1]")
    if (reference := experiment.reference) is not None:
        _check_generated(reference)
    rows, parts = experiment.training.batch_rows, experiment.training.accumulation
    require(rows % parts == 0, "training.batch_rows", rows, f"a multiple of training.accumulation, {parts}")
    require(bool(experiment.domain), "domain", experiment.domain, "at least one Source to learn from")
    for level in experiment.evaluation.matched:
        require(math.isfinite(level), "evaluation.matched", level, "finite numbers")
    seeds = experiment.seeds
    require(bool(seeds) and len(set(seeds)) == len(seeds), "seeds", seeds, "one or more different whole numbers")
    require(min(seeds) >= 0, "seeds", seeds, "no negative number")
    _check_tasks(experiment.evaluation)


def check_methods(experiment: Experiment) -> None:
    """UserError that names the first method, or key of one, with an impossible value."""
    require(bool(experiment.methods), "methods", {}, "at least one method")
    for name, method in experiment.methods.items():
        usable = bool(name) and name not in RESERVED and not set(name) & set("/\\") and not name.startswith(".")
        require(usable, "methods", name, f"a name that can be a folder's, other than {', '.join(RESERVED)}")
        key, rates = f"methods.{name}", method.learning_rates
        bounds.check(method, key)
        folders = {f"{rate:g}" for rate in rates}  # a run's folder has the rate to six digits
        usable = isinstance(method, Auto) or bool(rates) and len(folders) == len(rates)
        require(usable, f"{key}.learning_rates", rates, "one or more different numbers")
        if isinstance(method, Hosted):
            _check_hosted(key, experiment.evaluation)
        elif experiment.reference is None and experiment.trained[name].reference != "none":
            raise UserError(f"{key}: works with reference text, and this config sets no `reference`")


def _check_hosted(key: str, evaluation: Evaluation) -> None:
    for name, axis in evaluation.axes.items():
        if not TASKS[axis.task].by_reply:
            usable = ", ".join(name for name, task in TASKS.items() if task.by_reply)
            raise UserError(
                f"{key}: a provider's model gives replies alone, and evaluation.axes.{name}.task is {axis.task!r}; "
                f"use one of {usable}, or leave the method out"
            )


def check_unaligned(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for an unaligned model that is not of the base's shape."""
    for name, method in experiment.methods.items():
        if isinstance(method, SafeLora):
            other = read_config(model_folder(method.unaligned))
            if (other.num_layers, other.linear_shapes) != (config.num_layers, config.linear_shapes):
                raise UserError(
                    f"methods.{name}.unaligned: {method.unaligned} has other layers than model.folder, "
                    f"{experiment.model.folder}.\nName the model that this one was made from by safety training."
                )


def check_fit(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for rows longer than the model's context and adapters wider than its linears."""
    for key in ("training.row_length", "reference.length"):
        for value in _at(experiment, key):
            limit = config.max_positions
            require(value <= limit, key, value, f"at most {limit} tokens, the context of the model")
    for index, settings in enumerate(experiment.reference.generated if experiment.reference else ()):
        key, room = f"reference.generated[{index}].max_new_tokens", config.max_positions - 1
        expected = f"at most {room} tokens, what the context of the model leaves after the first"
        require(settings.max_new_tokens <= room, key, settings.max_new_tokens, expected)
    for name, method in experiment.trained.items():
        method.check_model(f"methods.{name}", config)


def _check_generated(reference: Reference) -> None:
    text = (*reference.sources, *reference.generated)
    require(bool(text), "reference", text, "at least one Source or Generated")
    for index, settings in enumerate(reference.generated):
        key = f"reference.generated[{index}]"
        require(settings.count >= 1, f"{key}.count", settings.count, "at least 1")
        require(settings.max_new_tokens >= 1, f"{key}.max_new_tokens", settings.max_new_tokens, "at least 1")
        heat = settings.temperature
        require(0 <= heat < math.inf, f"{key}.temperature", heat, "0 or a number above it")
        varied = heat > 0 or bool(settings.prompts)
        require(varied, f"{key}.temperature", heat, "a number above 0: without prompts all texts would be the same")


def check_mesh(experiment: Experiment, config: LlamaConfig, mesh: Mesh | None) -> None:
    """UserError for a model or a number of rows that the mesh cannot split evenly."""
    if mesh is None:
        return
    training, rows = experiment.training, {"evaluation.batch_size": experiment.evaluation.batch_size}
    per_part = "training.batch_rows" if training.accumulation == 1 else "training.batch_rows / training.accumulation"
    rows[per_part] = training.batch_rows // training.accumulation
    if experiment.reference is not None:
        rows["reference.batch_rows"] = experiment.reference.batch_rows
    check_divides(mesh, LAYOUTS[experiment.model.sharding.preset], config, rows)


def _check_tasks(evaluation: Evaluation) -> None:
    if "proficiency" not in evaluation.axes:
        raise UserError(f"evaluation.axes: no axis named 'proficiency' among {', '.join(evaluation.axes) or 'none'}")
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


def _at(experiment: Experiment, key: str) -> Iterator[Any]:
    """The value at a dotted key; nothing where a part of the config on the way is not set."""
    part: Any = experiment
    for name in key.split("."):
        if part is None:
            return
        part = getattr(part, name)
    yield part

"""What no run can work with is refused before anything long begins and before anything is written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator
from typing import Any

from jax.sharding import Mesh

from experiments.generated import check_prompts
from experiments.setup import model_folder
from experiments.tasks import BY_REPLY, RULES, TASKS
from experiments.tasks.needs import check_examples
from jaxft import methods
from jaxft.config import (
    EWC,
    KL,
    L2SP,
    Auto,
    Evaluation,
    Experiment,
    FrozenLayers,
    Galore,
    GradientProjection,
    Grafted,
    Hosted,
    Interpolated,
    Method,
    Osf,
    Reference,
    SafeMerge,
)
from jaxft.data.template import TEMPLATES
from jaxft.errors import UserError
from jaxft.llama.attention import CHOICES
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import SHAPES, SPACE_OF, LlamaConfig
from jaxft.llama.hf_tensors import DTYPES
from jaxft.llama.model import REMAT_POLICIES
from jaxft.method_config import Adapted, Protecting, Realigned, Trained
from jaxft.sharding import LAYOUTS, check_divides, make_mesh
from jaxft.training import precision

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
    "training.optimizer_dtype": precision.DTYPES,
    "training.weights_dtype": precision.DTYPES,
}
_LEAST = {  # whole numbers
    "training.steps": 1,
    "training.batch_rows": 1,
    "training.row_length": 1,
    "training.accumulation": 1,
    "training.warmup": 0,
    "training.loss_chunk": 0,
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
_POSITIVE = ("training.clip", "pretrain.learning_rate")
_NOT_NEGATIVE = ("training.weight_decay", "evaluation.watch.budget")
_BELOW_ONE = ("training.beta1", "training.beta2")  # 0 included


def check(experiment: Experiment) -> None:
    """UserError for a value that is impossible by itself, with the base model that the config names or on the devices
    that are here."""
    config = check_experiment(experiment)
    check_mesh(experiment, config, make_mesh(experiment.model.sharding))


def check_experiment(experiment: Experiment) -> LlamaConfig:
    """UserError for a value that is impossible on any devices; the shape of the base model otherwise."""
    check_settings(experiment)
    _check_methods(experiment)
    check_examples(experiment.evaluation)
    if experiment.reference is not None:
        check_prompts(experiment.reference)
    config = read_config(model_folder(experiment.model.folder))
    check_fit(experiment, config)
    _check_unaligned(experiment, config)
    return config


def check_settings(experiment: Experiment) -> None:
    """UserError that names the first key with an impossible value."""
    for key, choices in _CHOICES.items():
        for value in _at(experiment, key):
            _require(value in choices, key, value, f"one of {', '.join(choices)}")
    for key, least in _LEAST.items():
        for value in _at(experiment, key):
            _require(value >= least, key, value, f"at least {least}")
    if (shape := experiment.pretrain) is not None:
        heads, kv_heads = shape.num_heads, shape.num_kv_heads
        _require(
            shape.hidden_size % (2 * heads) == 0,
            "pretrain.hidden_size",
            shape.hidden_size,
            f"a multiple of 2 * num_heads, {2 * heads}",
        )
        _require(heads % kv_heads == 0, "pretrain.num_heads", heads, f"a multiple of num_kv_heads, {kv_heads}")
    for key in _POSITIVE:
        for value in _at(experiment, key):
            _require(0 < value < math.inf, key, value, "a number above 0")
    for key in _NOT_NEGATIVE:
        for value in _at(experiment, key):
            _require(0 <= value < math.inf, key, value, "0 or a number above it")
    for key in _BELOW_ONE:
        for value in _at(experiment, key):
            _require(0 <= value < 1, key, value, "a number in [0, 1)")
    for value in _at(experiment, "reference.heldout"):
        _require(0 < value < 1, "reference.heldout", value, "a fraction between 0 and 1")
    for value in _at(experiment, "reference.certificate_energy"):
        _require(0 < value <= 1, "reference.certificate_energy", value, "a fraction in (0, 1]")
    if (reference := experiment.reference) is not None:
        _check_generated(reference)
    rows, parts = experiment.training.batch_rows, experiment.training.accumulation
    _require(rows % parts == 0, "training.batch_rows", rows, f"a multiple of training.accumulation, {parts}")
    _require(bool(experiment.domain), "domain", experiment.domain, "at least one Source to learn from")
    for level in experiment.evaluation.matched:
        _require(math.isfinite(level), "evaluation.matched", level, "finite numbers")
    seeds = experiment.seeds
    _require(bool(seeds) and len(set(seeds)) == len(seeds), "seeds", seeds, "one or more different whole numbers")
    _require(min(seeds) >= 0, "seeds", seeds, "no negative number")
    _check_tasks(experiment.evaluation)


def check_fit(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for rows longer than the model's context and adapters wider than its linears."""
    for key in ("training.row_length", "reference.length"):
        for value in _at(experiment, key):
            limit = config.max_positions
            _require(value <= limit, key, value, f"at most {limit} tokens, the context of the model")
    for index, settings in enumerate(experiment.reference.generated if experiment.reference else ()):
        key, room = f"reference.generated[{index}].max_new_tokens", config.max_positions - 1
        expected = f"at most {room} tokens, what the context of the model leaves after the first"
        _require(settings.max_new_tokens <= room, key, settings.max_new_tokens, expected)
    for name, settings in experiment.methods.items():
        if isinstance(settings, Adapted):
            for target in settings.targets:
                width = min(config.linear_shapes[target])
                expected = f"at most {width}, the width of linear {target!r}"
                _require(settings.rank <= width, f"methods.{name}.rank", settings.rank, expected)
        if isinstance(settings, Galore):
            width = min(min(shape) for shape in config.linear_shapes.values())
            expected = f"at most {width}, the width of the narrowest linear"
            _require(settings.rank <= width, f"methods.{name}.rank", settings.rank, expected)
        if isinstance(settings, FrozenLayers):
            last = config.num_layers - 1
            expected = f"a first and a last layer within 0..{last}"
            _require(settings.layers[1] <= last, f"methods.{name}.layers", settings.layers, expected)


def _check_unaligned(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for an unaligned model that is not of the base's shape."""
    for name, settings in experiment.methods.items():
        if isinstance(settings, Realigned):
            other = read_config(model_folder(settings.unaligned))
            if (other.num_layers, other.linear_shapes) != (config.num_layers, config.linear_shapes):
                raise UserError(
                    f"methods.{name}.unaligned: {settings.unaligned} has other layers than model.folder, "
                    f"{experiment.model.folder}.\nName the model that this one was made from by safety training."
                )


def _check_generated(reference: Reference) -> None:
    text = (*reference.sources, *reference.generated)
    _require(bool(text), "reference", text, "at least one Source or Generated")
    for index, settings in enumerate(reference.generated):
        key = f"reference.generated[{index}]"
        _require(settings.count >= 1, f"{key}.count", settings.count, "at least 1")
        _require(settings.max_new_tokens >= 1, f"{key}.max_new_tokens", settings.max_new_tokens, "at least 1")
        heat = settings.temperature
        _require(0 <= heat < math.inf, f"{key}.temperature", heat, "0 or a number above it")
        varied = heat > 0 or bool(settings.prompts)
        _require(varied, f"{key}.temperature", heat, "a number above 0: without prompts all texts would be the same")


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


def _check_methods(experiment: Experiment) -> None:
    _require(bool(experiment.methods), "methods", {}, "at least one method")
    for name, settings in experiment.methods.items():
        usable = bool(name) and name not in RESERVED and not set(name) & set("/\\") and not name.startswith(".")
        _require(usable, "methods", name, f"a name that can be a folder's, other than {', '.join(RESERVED)}")
        if isinstance(settings, Auto):
            _check_auto(f"methods.{name}", settings)
            settings = settings.at(1.0, 1e-3)
        key, rates = f"methods.{name}.learning_rates", settings.learning_rates
        folders = {f"{rate:g}" for rate in rates}  # a run's folder has the rate to six digits
        _require(bool(rates) and len(folders) == len(rates), key, rates, "one or more different numbers")
        for rate in rates:
            _require(0 < rate < math.inf, key, rate, "a number above 0")
        _check_method(f"methods.{name}", settings)
        if isinstance(settings, Hosted):
            _check_hosted(f"methods.{name}", settings, experiment.evaluation)
        elif experiment.reference is None and methods.build(settings).reference != "none":
            raise UserError(f"methods.{name}: works with reference text, and this config sets no `reference`")


def _check_method(key: str, settings: Method | Hosted) -> None:
    if isinstance(settings, Adapted | Protecting | Osf):
        targets = settings.targets
        _require(
            bool(targets) and set(targets) <= set(SPACE_OF), f"{key}.targets", targets, f"some of {tuple(SPACE_OF)}"
        )
    if isinstance(settings, Adapted):
        _require(settings.rank >= 1, f"{key}.rank", settings.rank, "at least 1")
        _require(0 < settings.alpha < math.inf, f"{key}.alpha", settings.alpha, "a number above 0")
        _require(0 <= settings.dropout < 1, f"{key}.dropout", settings.dropout, "a fraction in [0, 1)")
        decay = settings.weight_decay
        fits = decay is None or 0 <= decay < math.inf
        _require(fits, f"{key}.weight_decay", decay, "0 or a number above it, or None for that of training")
    if isinstance(settings, Realigned):
        _require(-1 <= settings.threshold <= 1, f"{key}.threshold", settings.threshold, "a cosine in [-1, 1]")
    if isinstance(settings, SafeMerge):
        weight, sources = settings.safe_weight, settings.safe_sources
        _require(0 < weight <= 1, f"{key}.safe_weight", weight, "a fraction in (0, 1]")
        _require(bool(sources), f"{key}.safe_sources", sources, "at least one Source")
    if isinstance(settings, Trained) and settings.mix is not None:
        share = settings.mix.share
        _require(0 < share < 1, f"{key}.mix.share", share, "a fraction between 0 and 1")
        _require(bool(settings.mix.sources), f"{key}.mix.sources", settings.mix.sources, "at least one Source")
    if isinstance(settings, Protecting):
        energy, capture, floor = settings.energy, settings.auto_capture, settings.auto_plasticity
        fits = energy == "auto" or 0 <= energy <= 1
        _require(fits, f"{key}.energy", energy, 'a fraction in (0, 1], "auto", or 0 to protect nothing')
        _require(0 < capture <= 1, f"{key}.auto_capture", capture, "a fraction in (0, 1]")
        _require(0 <= floor < 1, f"{key}.auto_plasticity", floor, "a fraction in [0, 1)")
    if isinstance(settings, L2SP | EWC | KL):
        _require(0 < settings.strength < math.inf, f"{key}.strength", settings.strength, "a number above 0")
    if isinstance(settings, Interpolated):
        _require(0 < settings.weight <= 1, f"{key}.weight", settings.weight, "a fraction in (0, 1]")
    if isinstance(settings, Grafted):
        _require(0 < settings.share <= 1, f"{key}.share", settings.share, "a fraction in (0, 1]")
    if isinstance(settings, FrozenLayers):
        layers = settings.layers
        fits = len(layers) == 2 and 0 <= layers[0] <= layers[1]
        _require(fits, f"{key}.layers", layers, "a first and a last layer, from 0")
    if isinstance(settings, Galore):
        _require(settings.rank >= 1, f"{key}.rank", settings.rank, "at least 1")
        _require(settings.gap >= 1, f"{key}.gap", settings.gap, "at least 1")
        _require(0 < settings.scale < math.inf, f"{key}.scale", settings.scale, "a number above 0")
    if isinstance(settings, Osf):
        _require(0 < settings.keep < 1, f"{key}.keep", settings.keep, "a fraction between 0 and 1")
    if isinstance(settings, GradientProjection):
        if (neurons := settings.neurons) is not None:
            _require(0 < neurons.share <= 1, f"{key}.neurons.share", neurons.share, "a fraction in (0, 1]")
            expected = "0 where neurons are chosen, which takes whole moments"
            _require(settings.metric_rank == 0, f"{key}.metric_rank", settings.metric_rank, expected)
        share = settings.gradients
        _require(0 <= share <= 1, f"{key}.gradients", share, "a fraction in [0, 1]")
        _require(settings.metric_rank >= 0, f"{key}.metric_rank", settings.metric_rank, "0 or more directions")
        _require(0 <= settings.decay < math.inf, f"{key}.decay", settings.decay, "0 or a number above it")


def _check_auto(key: str, settings: Auto) -> None:
    _require(not settings.learning_rates, f"{key}.learning_rates", settings.learning_rates, "none: the rate is found")
    _require(0 < settings.budget < math.inf, f"{key}.budget", settings.budget, "a drift above 0, as 0.01 for 1 %")
    _require(settings.trials >= 1, f"{key}.trials", settings.trials, "at least 1")


def _check_hosted(key: str, settings: Hosted, evaluation: Evaluation) -> None:
    _require(settings.epochs >= 1, f"{key}.epochs", settings.epochs, "at least 1")
    _require(0 <= settings.max_cost < math.inf, f"{key}.max_cost", settings.max_cost, "US dollars, 0 or more")
    for name, axis in evaluation.axes.items():
        if axis.task not in BY_REPLY:
            raise UserError(
                f"{key}: a provider's model gives replies alone, and evaluation.axes.{name}.task is {axis.task!r}; "
                f"use one of {', '.join(BY_REPLY)}, or leave the method out"
            )


def _check_tasks(evaluation: Evaluation) -> None:
    if "proficiency" not in evaluation.axes:
        raise UserError(f"evaluation.axes: no axis named 'proficiency' among {', '.join(evaluation.axes) or 'none'}")
    for name, axis in evaluation.axes.items():
        key = f"evaluation.axes.{name}"
        if axis.task not in TASKS:
            nearest = difflib.get_close_matches(axis.task, TASKS, n=1, cutoff=0.0)[0]
            raise UserError(f"{key}.task: unknown {axis.task!r}; did you mean {nearest!r}? Known: {', '.join(TASKS)}")
        for part, source in (("source", axis.source), ("validation", axis.validation)):
            if axis.task in RULES and source.name != axis.task:
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


def _require(holds: bool, key: str, found: Any, expected: str) -> None:
    if not holds:
        raise UserError(f"{key}: found {found!r}, expected {expected}")

"""What no method can work with, by itself, with the rest of its config or with the base model's shape."""

from __future__ import annotations

import math

from experiments.base_model import model_folder
from experiments.config import Evaluation, Experiment, Hosted
from experiments.evaluation.tasks import BY_REPLY
from jaxft import methods
from jaxft.errors import UserError, require
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import SPACE_OF, LlamaConfig
from jaxft.method_config import (
    EWC,
    KL,
    L2SP,
    Adapted,
    Auto,
    FrozenLayers,
    Galore,
    GradientProjection,
    Grafted,
    Interpolated,
    Method,
    Osf,
    Protecting,
    Realigned,
    SafeMerge,
    Trained,
)


def check_methods(experiment: Experiment) -> None:
    """UserError that names the first method, or key of one, with an impossible value."""
    require(bool(experiment.methods), "methods", {}, "at least one method")
    for name, settings in experiment.methods.items():
        if isinstance(settings, Auto):
            _check_auto(f"methods.{name}", settings)
            settings = settings.at(1.0, 1e-3)
        key, rates = f"methods.{name}.learning_rates", settings.learning_rates
        folders = {f"{rate:g}" for rate in rates}  # a run's folder has the rate to six digits
        require(bool(rates) and len(folders) == len(rates), key, rates, "one or more different numbers")
        for rate in rates:
            require(0 < rate < math.inf, key, rate, "a number above 0")
        _check_method(f"methods.{name}", settings)
        if isinstance(settings, Hosted):
            _check_hosted(f"methods.{name}", settings, experiment.evaluation)
        elif experiment.reference is None and methods.build(settings).reference != "none":
            raise UserError(f"methods.{name}: works with reference text, and this config sets no `reference`")


def check_shapes(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for a method that does not fit a model of this shape."""
    for name, settings in experiment.methods.items():
        if isinstance(settings, Adapted):
            for target in settings.targets:
                width = min(config.linear_shapes[target])
                expected = f"at most {width}, the width of linear {target!r}"
                require(settings.rank <= width, f"methods.{name}.rank", settings.rank, expected)
        if isinstance(settings, Galore):
            width = min(min(shape) for shape in config.linear_shapes.values())
            expected = f"at most {width}, the width of the narrowest linear"
            require(settings.rank <= width, f"methods.{name}.rank", settings.rank, expected)
        if isinstance(settings, FrozenLayers):
            last = config.num_layers - 1
            expected = f"a first and a last layer within 0..{last}"
            require(settings.layers[1] <= last, f"methods.{name}.layers", settings.layers, expected)


def check_unaligned(experiment: Experiment, config: LlamaConfig) -> None:
    """UserError for an unaligned model that is not of the base's shape."""
    for name, settings in experiment.methods.items():
        if isinstance(settings, Realigned):
            other = read_config(model_folder(settings.unaligned))
            if (other.num_layers, other.linear_shapes) != (config.num_layers, config.linear_shapes):
                raise UserError(
                    f"methods.{name}.unaligned: {settings.unaligned} has other layers than model.folder, "
                    f"{experiment.model.folder}.\nName the model that this one was made from by safety training."
                )


def _check_method(key: str, settings: Method | Hosted) -> None:
    if isinstance(settings, Adapted | Protecting | Osf):
        targets = settings.targets
        require(
            bool(targets) and set(targets) <= set(SPACE_OF), f"{key}.targets", targets, f"some of {tuple(SPACE_OF)}"
        )
    if isinstance(settings, Adapted):
        require(settings.rank >= 1, f"{key}.rank", settings.rank, "at least 1")
        require(0 < settings.alpha < math.inf, f"{key}.alpha", settings.alpha, "a number above 0")
        require(0 <= settings.dropout < 1, f"{key}.dropout", settings.dropout, "a fraction in [0, 1)")
        decay = settings.weight_decay
        fits = decay is None or 0 <= decay < math.inf
        require(fits, f"{key}.weight_decay", decay, "0 or a number above it, or None for that of training")
    if isinstance(settings, Realigned):
        require(-1 <= settings.threshold <= 1, f"{key}.threshold", settings.threshold, "a cosine in [-1, 1]")
    if isinstance(settings, SafeMerge):
        weight, sources = settings.safe_weight, settings.safe_sources
        require(0 < weight <= 1, f"{key}.safe_weight", weight, "a fraction in (0, 1]")
        require(bool(sources), f"{key}.safe_sources", sources, "at least one Source")
    if isinstance(settings, Trained) and settings.mix is not None:
        share = settings.mix.share
        require(0 < share < 1, f"{key}.mix.share", share, "a fraction between 0 and 1")
        require(bool(settings.mix.sources), f"{key}.mix.sources", settings.mix.sources, "at least one Source")
    if isinstance(settings, Protecting):
        energy, capture, floor = settings.energy, settings.auto_capture, settings.auto_plasticity
        fits = energy == "auto" or 0 <= energy <= 1
        require(fits, f"{key}.energy", energy, 'a fraction in (0, 1], "auto", or 0 to protect nothing')
        require(0 < capture <= 1, f"{key}.auto_capture", capture, "a fraction in (0, 1]")
        require(0 <= floor < 1, f"{key}.auto_plasticity", floor, "a fraction in [0, 1)")
    if isinstance(settings, L2SP | EWC | KL):
        require(0 < settings.strength < math.inf, f"{key}.strength", settings.strength, "a number above 0")
    if isinstance(settings, Interpolated):
        require(0 < settings.weight <= 1, f"{key}.weight", settings.weight, "a fraction in (0, 1]")
    if isinstance(settings, Grafted):
        require(0 < settings.share <= 1, f"{key}.share", settings.share, "a fraction in (0, 1]")
    if isinstance(settings, FrozenLayers):
        layers = settings.layers
        fits = len(layers) == 2 and 0 <= layers[0] <= layers[1]
        require(fits, f"{key}.layers", layers, "a first and a last layer, from 0")
    if isinstance(settings, Galore):
        require(settings.rank >= 1, f"{key}.rank", settings.rank, "at least 1")
        require(settings.gap >= 1, f"{key}.gap", settings.gap, "at least 1")
        require(0 < settings.scale < math.inf, f"{key}.scale", settings.scale, "a number above 0")
    if isinstance(settings, Osf):
        require(0 < settings.keep < 1, f"{key}.keep", settings.keep, "a fraction between 0 and 1")
    if isinstance(settings, GradientProjection):
        if (neurons := settings.neurons) is not None:
            require(0 < neurons.share <= 1, f"{key}.neurons.share", neurons.share, "a fraction in (0, 1]")
            expected = "0 where neurons are chosen, which takes whole moments"
            require(settings.metric_rank == 0, f"{key}.metric_rank", settings.metric_rank, expected)
        share = settings.gradients
        require(0 <= share <= 1, f"{key}.gradients", share, "a fraction in [0, 1]")
        require(settings.metric_rank >= 0, f"{key}.metric_rank", settings.metric_rank, "0 or more directions")
        require(0 <= settings.decay < math.inf, f"{key}.decay", settings.decay, "0 or a number above it")


def _check_auto(key: str, settings: Auto) -> None:
    require(not settings.learning_rates, f"{key}.learning_rates", settings.learning_rates, "none: the rate is found")
    require(0 < settings.budget < math.inf, f"{key}.budget", settings.budget, "a drift above 0, as 0.01 for 1 %")
    require(settings.trials >= 1, f"{key}.trials", settings.trials, "at least 1")


def _check_hosted(key: str, settings: Hosted, evaluation: Evaluation) -> None:
    require(settings.epochs >= 1, f"{key}.epochs", settings.epochs, "at least 1")
    require(0 <= settings.max_cost < math.inf, f"{key}.max_cost", settings.max_cost, "US dollars, 0 or more")
    for name, axis in evaluation.axes.items():
        if axis.task not in BY_REPLY:
            raise UserError(
                f"{key}: a provider's model gives replies alone, and evaluation.axes.{name}.task is {axis.task!r}; "
                f"use one of {', '.join(BY_REPLY)}, or leave the method out"
            )

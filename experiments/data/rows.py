"""The rows that a run trains on."""

from __future__ import annotations

from experiments.base_model import Base
from experiments.config import Experiment
from experiments.data.sources import load_examples
from jaxft.data.packing import Rows, blend
from jaxft.data.source import Mix, Source


def other_sources(experiment: Experiment) -> list[Source]:
    """Sources other than the domain that a method trains on: those it mixes in, and those of a safe adapter."""
    return [source for method in experiment.trained.values() for source in method.sources]


def training_rows(experiment: Experiment, base: Base, mix: Mix | None = None) -> Rows:
    """The domain's examples, packed for training and blended with the share of other text that `mix` sets."""
    length, on_long = experiment.training.row_length, experiment.training.on_long
    domain = base.pack(load_examples(experiment.domain), length, on_long)
    if mix is None:
        return domain
    return blend(domain, base.pack(load_examples(mix.sources), length, on_long), mix.share)

"""The part of a record about one method: its training, and the scores of every axis before and after."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.store.record.certificate import Certificate, Interval

#: Mean score by axis; None without a verdict.
Means = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Group:
    """The mean scores of a group of examples, before and after."""

    before: float | None
    after: float | None
    examples: int


@dataclass(frozen=True, kw_only=True)
class SeedScore:
    """The mean score after training with one seed."""

    seed: int
    after: float | None


@dataclass(frozen=True, kw_only=True)
class AxisResult:
    """One axis of one method; `statistics.compare` defines the numbers.

    p_value_holm: Holm-corrected over the methods. unjudged: number of examples left out without a verdict. groups: None
    in the record of a sweep. labels: number of replies with each label before and after (mean over seeds); None if
    replies get no label.
    """

    before: float
    after: float | None
    change: float | None
    relative_change: float | None
    before_interval: Interval
    after_interval: Interval
    change_interval: Interval
    p_value: float
    negative_flips: float | None
    positive_flips: float | None
    examples: int
    seeds: tuple[SeedScore, ...]
    unjudged: int | None = None
    p_value_holm: float | None = None
    groups: Mapping[str, Group] | None = None
    labels: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One learning rate of a method at the first seed. delta_norm: |dW|; None if a provider keeps the weights."""

    learning_rate: float
    validation: Means
    test: Means
    delta_norm: float | None
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training run of the search of `Auto`. drift: see `Drift.relative_drift`."""

    learning_rate: float
    kfac_strength: float
    drift: float
    proficiency: float
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search of `Auto`. realised_drift: on text that no decision used. kept: True if that is within the budget."""

    budget: float
    trials: tuple[Trial, ...]
    realised_drift: float
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Speed of a training run without its first step, which compiles. None if the run was killed or is hosted."""

    train_seconds: float | None
    tokens_per_second: float | None
    step_milliseconds: float | None


NOT_TIMED = Timings(train_seconds=None, tokens_per_second=None, step_milliseconds=None)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device. constants: arrays that a method reads in every step, without weights and optimizer state."""

    peak_bytes: int | None
    trained_bytes: int | None
    optimizer_bytes: int | None
    constants_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The means on validation examples after a training step."""

    step: int
    means: Means


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The results of one training run, except its scores.

    certificate: None without reference text. reference: the time when the method reads that text: "none", "before
    training" or "while training"; None if unknown. memory: None for models that are not trained here. watched,
    kept_step: evaluations while training, and the step whose weights are kept. model, cost: for hosted systems, the
    provider's name of the model and US dollars.
    """

    delta_norm: float | None
    certificate: Certificate | None
    reference: str | None = None
    timings: Timings
    memory: Memory | None = None
    trained_parameters: int | None
    watched: tuple[Watched, ...] | None = None
    kept_step: int | None = None
    model: str | None = None
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A test example with its replies before and after. before_ok, after_ok: True if right; None without a verdict."""

    prompt: str
    reference: str = ""
    before: str
    after: str
    before_ok: bool | None
    after_ok: bool | None
    before_label: str = ""
    after_label: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class MethodResult(RunResult):
    """One method. axes: over all seeds; all other fields are for the first seed. learning_rate: None for a fine-tune
    made elsewhere. rates: empty if the config gives one rate. examples: replies by axis; None in a sweep's record."""

    kind: str
    learning_rate: float | None
    search: Search | None = None
    rates: tuple[Rate, ...]
    axes: Mapping[str, AxisResult]
    examples: Mapping[str, tuple[Reply, ...]] | None = None

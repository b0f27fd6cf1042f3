"""The records of a comparison, a sweep and a sequence, as dataclasses; only files hold JSON.

Not every version of jaxft recorded the fields with a default: None means "not recorded".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from experiments.store.record.certificate import Certificate
from experiments.store.record.codec import from_json, to_json
from experiments.store.record.method import Means, MethodResult, Rate, Timings
from jaxft.distributed import agreed
from jaxft.errors import UserError
from jaxft.io import read_json, write_json

#: Fields that say when, how and on what the results were made.
ORIGIN = ("command", "created", "versions", "hardware", "timings")
#: Version of the records' JSON; raised when the name or the meaning of a key changes.
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class AxisDescription:
    """The measurement on an axis. unit: "fraction" or "nat/token". examples: number of test examples."""

    task: str
    metric: str
    unit: str
    higher_is_better: bool
    examples: int


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The judge of judged axes. usage: requests, tokens and US dollars; empty for a judge without costs."""

    name: str
    usage: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Changes of the other axes at equal proficiency, by method. given: by the config, else the best of LoRA."""

    proficiency: float
    given: bool
    changes: Mapping[str, Means]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A test example with a copy in training or reference text."""

    kind: str
    evaluation: str
    training: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """The number of test examples with a copy of each kind, see `experiments.data.contamination`."""

    examples: int
    exact: int
    exact_short: int | None = None
    near: int
    prompt: int | None = None
    copies: tuple[Copy, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """Copies of one axis' test examples in the training text and in the reference text."""

    source: str
    domain: Found | None = None
    reference: Found | None = None


@dataclass(frozen=True, kw_only=True)
class TotalTime:
    """Total seconds of all invocations for a record."""

    total_seconds: float


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Evaluation while training. rule: choice of the kept step. base: the base's means on the same examples."""

    rule: str
    base: Means


@dataclass(frozen=True, kw_only=True)
class Record:
    """The fields of all records. config, versions, hardware, base: plain JSON. In a sweep, versions, hardware, base and
    judge are a list if units differ and None if no unit is done."""

    name: str
    command: str
    created: str
    config: Any
    versions: Any
    hardware: Any
    base: Any
    judge: Any
    seeds: tuple[int, ...]
    axes: Mapping[str, AxisDescription]
    timings: TotalTime


@dataclass(frozen=True, kw_only=True)
class ComparisonRecord(Record):
    """`jaxft compare`. data: count and hash of every source. packed: `Rows.counts` of the domain, None if nothing is
    trained here. reference: the parts of the reference text."""

    judge: Judge | None
    data: Mapping[str, Any]
    packed: Mapping[str, int] | None = None
    contamination: Mapping[str, Contamination] | None = None
    reference: tuple[Any, ...] | None = None
    methods: Mapping[str, MethodResult]
    watch: Watch | None = None
    matched: tuple[Level, ...]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One method at one point of a sweep. changes: plain JSON, by key of the config. folder: its name in "units".
    status: "done", "failed" or "open". error: message of a failed unit. result: None unless the unit is done."""

    method: str
    changes: Mapping[str, Any]
    folder: str
    status: str
    error: str | None = None
    result: MethodResult | None = None


@dataclass(frozen=True, kw_only=True)
class SweepRecord(Record):
    """`jaxft sweep`: the data of tables and charts for every unit, without replies and layers."""

    units: Mapping[str, Unit]
    matched: tuple[Level, ...]

    @property
    def methods(self) -> dict[str, MethodResult]:
        """The results of finished units by label, like the methods of one comparison."""
        return {label: unit.result for label, unit in self.units.items() if unit.result is not None}


@dataclass(frozen=True, kw_only=True)
class SeedScores:
    """The scores of every axis after a stage, for one seed."""

    seed: int
    scores: Means


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One method after one domain. scores: mean over seeds; the fields after `seeds` are for the first seed.
    certificate: against the model at the start of the stage. against_first: against the first base."""

    stage: str
    scores: Means
    seeds: tuple[SeedScores, ...]
    delta_norm: float | None
    certificate: Certificate | None
    against_first: Certificate | None
    timings: Timings
    trained_parameters: int | None


@dataclass(frozen=True, kw_only=True)
class SequenceMethod:
    """One method through all domains. backward_transfer: see `experiments.runs.sequence`."""

    kind: str
    learning_rate: float
    rates: tuple[Rate, ...]
    stages: tuple[Stage, ...]
    backward_transfer: float | None


@dataclass(frozen=True, kw_only=True)
class SequenceRecord(Record):
    """`jaxft sequence`. stages: names of the domains in their order. before: every axis of the base."""

    judge: Judge | None
    data: Mapping[str, Any]
    contamination: Mapping[str, Mapping[str, Contamination]]
    reference: tuple[Any, ...] | None
    stages: tuple[str, ...]
    before: Means
    methods: Mapping[str, SequenceMethod]


KINDS: Mapping[str, type[Record]] = {
    "comparison": ComparisonRecord,
    "sweep": SweepRecord,
    "sequence": SequenceRecord,
}


R = TypeVar("R", bound=Record)


def encode(record: Record) -> dict[str, Any]:
    """A record as JSON data, with its format and kind."""
    kind = next(name for name, its in KINDS.items() if type(record) is its)
    return {"format": FORMAT, "kind": kind, **to_json(record)}


def decode(value: Any, where: str) -> Any:
    """The record in JSON data from the file `where`; UserError for other JSON and another format, kind or structure."""
    if not isinstance(value, dict) or not {"format", "kind"} & value.keys():
        raise UserError(f"{where}: is no record of jaxft; give a record.json or its folder")
    found = value.get("format")
    if found != FORMAT:
        raise UserError(
            f"{where}: found record format {found}, expected {FORMAT}; another version of jaxft wrote it. Delete its "
            "folder or choose another one to run anew"
        )
    if value.get("kind") not in KINDS:
        raise UserError(f"{where}: found record kind {value.get('kind')!r}, expected one of {', '.join(KINDS)}")
    rest = {name: part for name, part in value.items() if name not in ("format", "kind")}
    return from_json(KINDS[value["kind"]], rest, where)


def write_record(path: Path, record: R) -> R:
    """Write a record atomically, unless the file already holds the same results; returns the one in the file."""
    if agreed(_results(path) == _without_origin(json.loads(json.dumps(encode(record))))):
        return read_record(path)
    write_json(path, encode(record))
    return record


def _results(path: Path) -> Any:
    try:
        return _without_origin(read_json(path))
    except UserError:  # there is no record yet, or it is damaged
        return None


def _without_origin(record: Any) -> Any:
    return {name: value for name, value in record.items() if name not in ORIGIN} if isinstance(record, dict) else None


def read_record(path: Path) -> Any:
    """The `ComparisonRecord`, `SweepRecord` or `SequenceRecord` in a file; UserError as in `decode`."""
    return decode(read_json(path), str(path))

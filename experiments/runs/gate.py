"""`jaxft gate`: the loss of every axis against a budget, with its interval.

The loss of an axis is the fall of its score (the rise of a loss in nat/token) as a fraction of the base's score on the
same examples. A method ships if, on every axis, the interval of the loss lies within the budget, and that of
proficiency does not reach below 0. It does not ship if one interval lies wholly beyond. Otherwise the intervals are too
wide to say. An accuracy has a score interval from its flips (`statistics.lost_interval`), whose each end holds with
95 %; other scores have the record's bootstrap interval (97.5 % each end) over at least `FEWEST` examples. As all axes
must pass, a method that loses more than the budget somewhere ships in at most 5 % of cases. The intervals are over test
examples, not over training seeds, and take the base's score as known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.config_loader import load_any
from experiments.evaluation.statistics import lost_interval
from experiments.report.reading import TARGET, Compared, score
from experiments.store.record import AxisDescription, SequenceRecord, read_record
from experiments.store.record.method import AxisResult
from jaxft.errors import UserError, require

#: Examples that a bootstrap interval needs: of fewer it is too narrow, as it holds no score that was not seen.
FEWEST = 30
#: Verdict -> exit code, the worst last.
CODES = {"SHIP": 0, "TOO WIDE TO SAY": 4, "DON'T SHIP": 3}
SHIP, WIDE, DONT = CODES
#: Verdict on one axis -> words.
WORDS = {SHIP: "within", WIDE: "the interval is too wide to say; measure more test examples", DONT: "beyond"}


class Loss(NamedTuple):
    """The loss of an axis and the ends of its interval, as fractions of the base's score (of proficiency: absolute)."""

    mean: float
    low: float
    high: float

    def verdict(self, budget: float) -> str:
        """SHIP if the interval is within the budget, DONT if it is beyond, else WIDE."""
        return SHIP if self.high <= budget else DONT if self.low > budget else WIDE


def loss(result: AxisResult, axis: AxisDescription, relative: bool = True) -> Loss:
    """The loss of an axis; infinitely wide if no score, or too few for a bootstrap, were measured."""
    low, high = result.change_interval
    if result.change is None or low is None or high is None:
        return Loss(math.nan, -math.inf, math.inf)
    if result.negative_flips is not None and result.positive_flips is not None:
        ends = lost_interval(result.negative_flips, result.positive_flips, result.examples)
    elif result.examples < FEWEST:
        ends = (-math.inf, math.inf)
    else:
        ends = (-high, -low) if axis.higher_is_better else (low, high)
    found = Loss(-result.change if axis.higher_is_better else result.change, *ends)
    if not relative:
        return found
    if result.before == 0:  # nothing to lose, or no size to compare a rise with
        return Loss(0.0, 0.0, 0.0) if axis.higher_is_better else Loss(math.nan, -math.inf, math.inf)
    return Loss(*(one / abs(result.before) for one in found))


def read(place: str, overrides: Sequence[str], out: Path | None) -> Compared:
    """The record of a config, or the one in a file or folder `place`; UserError if it compares no methods."""
    path = Path(place)
    if path.is_dir():
        path /= "record.json"
    elif path.suffix != ".json":
        path = (out or Path("runs") / load_any(place, overrides).name) / "record.json"
    if not path.is_file():
        raise UserError(f"{path}: no such record; `jaxft compare CONFIG` writes it")
    record = read_record(path)
    if isinstance(record, SequenceRecord):
        raise UserError(f"{path}: found the record of a sequence, expected that of a comparison or a sweep")
    return record


def gate(record: Compared, method: str | None, budget: float) -> tuple[str, int]:
    """(text, exit code) of the verdict on a method of a record, or on all (None); the code is that of the worst."""
    require(0 <= budget < 1, "--budget", budget, "a number from 0 to below 1; 0.01 is 1 %")
    require(method is None or method in record.methods, "--method", method, f"one of {', '.join(record.methods)}")
    lines, verdicts = [], []
    for name in [method] if method else record.methods:
        found = {axis: _judged(axis, record.axes[axis], one, budget) for axis, one in record.methods[name].axes.items()}
        verdicts.append(_worst(verdict for verdict, _ in found.values()))
        lines += [f"{name}: {verdicts[-1]}", *(f"  {text}" for _, text in found.values())]
    return "\n".join(lines), CODES[_worst(verdicts)]


def _worst(verdicts: Iterable[str]) -> str:
    return max(verdicts, key=[*CODES].index)


def _judged(name: str, axis: AxisDescription, result: AxisResult, budget: float) -> tuple[str, str]:
    """(verdict, one line) on one axis."""
    found = loss(result, axis, relative=name != TARGET)
    verdict = found.verdict(0.0 if name == TARGET else budget)
    change = f"{name} {score(result.before, axis)} -> {score(result.after, axis)} (n = {result.examples})"
    if verdict == WIDE and math.isinf(found.high) and result.examples < FEWEST:
        return verdict, f"{change}: unsure; an interval needs at least {FEWEST} test examples, measure more"
    if name == TARGET:
        low, high = (score(value, axis) for value in (-found.high, -found.low))
        words = {SHIP: "does not fall", DONT: "falls", WIDE: WORDS[WIDE]}
        return verdict, f"{change}: gain {score(-found.mean, axis)} [{low}, {high}], {words[verdict]}"
    if axis.higher_is_better and result.before == 0:
        return verdict, f"{change}: nothing to lose"
    ends = f"[{found.low:z.2%}, {found.high:z.2%}]"
    return verdict, f"{change}: loss {found.mean:z.2%} {ends}, budget {100 * budget:.4g}%: {WORDS[verdict]}"

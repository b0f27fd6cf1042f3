"""Values that all parts of a report derive from a record: numbers as text, relative changes, and the headline."""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from experiments.store.record import AxisDescription, ComparisonRecord, SweepRecord
from experiments.store.record.certificate import Certificate, Drift, Interval
from experiments.store.record.method import MethodResult

#: A record with methods to compare: a comparison, or a sweep (its finished units).
Compared = ComparisonRecord | SweepRecord

TARGET = "proficiency"
LEARNT = 0.9
#: Shares of the energy of the reference inputs at which the leak is shown.
LEAK_ENERGIES = (0.8, 0.99)


def number(value: float | None, form: str = ".3g") -> str:
    """`value` in the given format; "-" for None."""
    return "-" if value is None else format(value, form)


def score(value: float | None, axis: AxisDescription) -> str:
    """A score of one axis: percent for fractions, three decimals for losses."""
    return number(value, "z.1%" if axis.unit == "fraction" else "z.3f")


def shift(value: float | None, axis: AxisDescription) -> str:
    """A change of a score, signed: percentage points for fractions, three decimals for losses."""
    if value is None or axis.unit != "fraction":
        return number(value, "+z.3f")
    return number(100 * value, "+z.1f")


def span(interval: Interval, axis: AxisDescription) -> str:
    """An interval of scores: [low, high]."""
    return f"[{score(interval[0], axis)}, {score(interval[1], axis)}]"


def better(axis: AxisDescription) -> str:
    """The direction of an axis in words: "higher is better" or "lower is better"."""
    return f"{'higher' if axis.higher_is_better else 'lower'} is better"


def divergence(drift: Drift | None) -> str:
    """The KL (nat/token), with the larger arm of its interval after ± if that was recorded."""
    if drift is None:
        return "-"
    low, high = drift.logit_kl_interval or (None, None)
    arm = "" if low is None or high is None else f" ±{max(drift.logit_kl - low, high - drift.logit_kl):.2g}"
    return number(drift.logit_kl) + arm


def leaks(certificate: Certificate | None) -> list[str]:
    """|dW Q| / |dW| at each of LEAK_ENERGIES; in brackets that of a change without preferred directions."""
    movement = certificate.movement if certificate else None
    if movement is None:
        return ["-"] * len(LEAK_ENERGIES)
    found = (movement.leak(energy) for energy in LEAK_ENERGIES)
    return [f"{number(leak, '.2g')} ({number(isotropic, '.2g')})" for leak, isotropic in found]


def size(number_of_bytes: float | None) -> str:
    """A number of bytes in B, KiB, MiB or GiB."""
    if number_of_bytes is None:
        return "-"
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number_of_bytes >= one:
            return f"{number_of_bytes / one:.3g} {unit}"
    return f"{number_of_bytes} B"


def negative_flips(method: MethodResult) -> float | None:
    """Answers that were right and became wrong: mean over seeds, sum over axes; None if no axis counts them."""
    counts = [axis.negative_flips for axis in method.axes.values() if axis.negative_flips is not None]
    return sum(counts) if counts else None


def step_of_full(record: Compared, name: str) -> float | None:
    """Time of a step relative to full fine-tuning (in a sweep: with the same changes); None if either was not timed."""
    method, changes = record.methods[name], _changes(record, name)
    full = [m for label, m in record.methods.items() if m.kind == "full" and _changes(record, label) == changes]
    seconds = [one.timings.step_milliseconds for one in (method, *full[:1])]
    return seconds[0] / seconds[1] if len(seconds) == 2 and seconds[0] is not None and seconds[1] is not None else None


def _changes(record: Compared, name: str) -> Mapping[str, Any]:
    """The changes of a sweep's unit, without those of a single method; {} for a comparison."""
    changes = record.units[name].changes if isinstance(record, SweepRecord) else {}
    return {key: value for key, value in changes.items() if not key.startswith("methods.")}


def gain(before: float | None, after: float | None, axis: AxisDescription) -> float | None:
    """(after - before) / |before|, signed so that more is better; None if a score is unknown or `before` is 0."""
    if not (_finite(before) and _finite(after) and before):
        return None
    return (after - before) / abs(before) * (1 if axis.higher_is_better else -1)


def retention(record: Compared, scores: Mapping[str, float | None], before: Mapping[str, float]) -> float | None:
    """Mean `gain` over all axes except TARGET: 0 if nothing is lost, -0.5 if half is lost; None if no gain is known."""
    gains = [gain(before.get(name), scores.get(name), axis) for name, axis in record.axes.items() if name != TARGET]
    known = [value for value in gains if value is not None]
    return sum(known) / len(known) if known else None


def base_scores(record: Compared) -> dict[str, float]:
    """Score by axis of the base model; a hosted method's own base counts only if no other method has the axis."""
    methods = sorted(record.methods.values(), key=lambda method: method.kind != "hosted")  # the last one counts
    return {name: method.axes[name].before for method in methods for name in record.axes if name in method.axes}


def before_scores(method: MethodResult) -> dict[str, float]:
    """Score by axis of the base model of a method."""
    return {name: axis.before for name, axis in method.axes.items()}


def after_scores(method: MethodResult) -> dict[str, float | None]:
    """Score by axis of a method after training."""
    return {name: axis.after for name, axis in method.axes.items()}


def headline(record: Compared) -> str:
    """One paragraph: the method with the best retention among those that learnt, its result on every axis, and LoRA's.

    A method has learnt if it reaches at least 90 % of the best gain on the target axis. A method that keeps everything
    because it changed nothing therefore cannot win.
    """
    if TARGET not in record.axes:
        return f"No {TARGET} axis was measured."
    methods, sign = record.methods, 1 if record.axes[TARGET].higher_is_better else -1
    changes = {name: method.axes[TARGET].change for name, method in methods.items() if TARGET in method.axes}
    improvements = {name: sign * change for name, change in changes.items() if _finite(change)}
    best = max(improvements.values(), default=0.0)
    if best <= 0:
        return f"No method improved {TARGET}."
    learnt = [name for name, value in improvements.items() if value >= LEARNT * best]
    kept = {name: retention(record, after_scores(methods[name]), before_scores(methods[name])) for name in learnt}
    known = {name: value for name, value in kept.items() if value is not None}
    if not known:
        winner = max(learnt, key=lambda name: improvements[name])
        return f"{winner} learnt most. {_outcome(record, winner)}."
    winner = max(known, key=lambda name: known[name])
    baselines = [name for name, method in methods.items() if method.kind == "lora" and name != winner]
    rule = f"reached at least {LEARNT:.0%} of the best {TARGET} gain ({', '.join(learnt)})"
    return f"Of the methods that {rule}, {winner} kept most. " + " ".join(
        f"{_outcome(record, name)}." for name in (winner, *baselines)
    )


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _outcome(record: Compared, name: str) -> str:
    """The result of one method: the target before and after, and the relative change of every other axis."""
    parts = []
    for axis_name, axis in record.axes.items():
        if (measured := record.methods[name].axes.get(axis_name)) is None:
            continue
        if axis_name == TARGET:
            change = f"{score(measured.before, axis)} -> {score(measured.after, axis)}"
        else:
            change = number(measured.relative_change, "+z.1%")
        parts.append(f"{axis_name} {axis.metric} {change}")
    return f"{name}: {', '.join(parts)}"

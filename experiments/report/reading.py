"""What every part of a report derives from a record: numbers as text, who leaked most, which method to name first."""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

Record = Mapping[str, Any]

TARGET = "proficiency"
LEARNT = 0.9


def number(value: float | None, form: str = ".3g") -> str:
    """`value` in the given format; "-" when the record holds none."""
    return "-" if value is None else format(value, form)


def score(value: float | None, axis: Record) -> str:
    """A score of one axis: percent for fractions, three decimals for losses."""
    return number(value, "z.1%" if axis["unit"] == "fraction" else "z.3f")


def shift(value: float | None, axis: Record) -> str:
    """A change of a score, signed: percentage points for fractions, three decimals for losses."""
    if value is None or axis["unit"] != "fraction":
        return number(value, "+z.3f")
    return number(100 * value, "+z.1f")


def span(interval: list[float], axis: Record) -> str:
    """An interval of scores: [low, high]."""
    return f"[{score(interval[0], axis)}, {score(interval[1], axis)}]"


def comparison(record: Record) -> Record:
    """The units of a sweep that are done, as the methods of one comparison."""
    return {**record, "methods": {label: unit for label, unit in record["units"].items() if unit["status"] == "done"}}


def size(number_of_bytes: float | None) -> str:
    """Bytes in the unit a person would use."""
    if number_of_bytes is None:
        return "-"
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number_of_bytes >= one:
            return f"{number_of_bytes / one:.3g} {unit}"
    return f"{number_of_bytes} B"


def negative_flips(method: Record) -> float | None:
    """Answers that were right and became wrong, a mean over seeds, summed over axes; None where none are counted."""
    counts = [axis["negative_flips"] for axis in method["axes"].values() if axis["negative_flips"] is not None]
    return sum(counts) if counts else None


def step_of_full(record: Record, name: str) -> float | None:
    """Time of a training step relative to full fine-tuning, in a sweep under the same changes; None where there is no
    such run, or one of both was not timed."""
    method = record["methods"][name]
    full = [m for m in record["methods"].values() if m["kind"] == "full" and _shared(m) == _shared(method)]
    seconds = [one["timings"]["step_milliseconds"] for one in (method, *full[:1])]
    return seconds[0] / seconds[1] if len(seconds) == 2 and None not in seconds else None


def _shared(method: Record) -> Record:
    """The changes of a sweep that concern more than one method."""
    return {key: value for key, value in method.get("changes", {}).items() if not key.startswith("methods.")}


def worst_leak(certificate: Record | None) -> float | None:
    """The largest |dW Q| / |dW| over layers and linears; None when nothing was measured."""
    if certificate and "worst_leak" in certificate:  # the record of a sweep has it without the layers
        return certificate["worst_leak"]
    spaces = certificate["spaces"] if certificate else []
    return max((leak for space in spaces for leak in space["leak"].values()), default=None)


def gain(before: float | None, after: float | None, axis: Record) -> float | None:
    """Relative change with the sign turned so that more is better; None when it has no meaning."""
    if not (_finite(before) and _finite(after) and before):
        return None
    return (after - before) / abs(before) * (1 if axis["higher_is_better"] else -1)


def retention(record: Record, scores: Mapping[str, float | None], before: Mapping[str, float | None]) -> float | None:
    """Mean `gain` over the axes that training did not aim at: 0 is nothing lost, -0.5 is half lost."""
    gains = [gain(before.get(name), scores.get(name), axis) for name, axis in record["axes"].items() if name != TARGET]
    known = [value for value in gains if value is not None]
    return sum(known) / len(known) if known else None


def base_scores(record: Record) -> dict[str, float]:
    """The score of the untrained base on every axis that some method was measured on; providers have bases of their
    own, which count where there is no other method."""
    methods = sorted(record["methods"].values(), key=lambda method: method["kind"] != "hosted")  # the last one counts
    return {
        name: method["axes"][name]["before"] for method in methods for name in record["axes"] if name in method["axes"]
    }


def before_scores(method: Record) -> dict[str, float]:
    """The scores of the base that a method trained, on its axes."""
    return {name: axis["before"] for name, axis in method["axes"].items()}


def after_scores(method: Record) -> dict[str, float | None]:
    """The scores of a trained method on its axes."""
    return {name: axis["after"] for name, axis in method["axes"].items()}


def headline(record: Record) -> str:
    """One paragraph: the method that kept most among those that learnt, what it did to every axis, and what LoRA did.

    A method counts as having learnt when it made at least 90 % of the best improvement on the target axis, so that a
    method that keeps everything because it changed nothing cannot win.
    """
    if TARGET not in record["axes"]:
        return f"No {TARGET} axis was measured."
    methods, sign = record["methods"], 1 if record["axes"][TARGET]["higher_is_better"] else -1
    improvements = {
        name: sign * method["axes"][TARGET]["change"]
        for name, method in record["methods"].items()
        if TARGET in method["axes"] and _finite(method["axes"][TARGET]["change"])
    }
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
    baselines = [name for name, method in record["methods"].items() if method["kind"] == "lora" and name != winner]
    rule = f"reached at least {LEARNT:.0%} of the best {TARGET} gain ({', '.join(learnt)})"
    return f"Of the methods that {rule}, {winner} kept most. " + " ".join(
        f"{_outcome(record, name)}." for name in (winner, *baselines)
    )


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _outcome(record: Record, name: str) -> str:
    """What one method did: the target before and after, and every other axis relative to the base."""
    parts = []
    for axis_name, axis in record["axes"].items():
        if (measured := record["methods"][name]["axes"].get(axis_name)) is None:
            continue
        if axis_name == TARGET:
            change = f"{score(measured['before'], axis)} -> {score(measured['after'], axis)}"
        else:
            change = number(measured["relative_change"], "+z.1%")
        parts.append(f"{axis_name} {axis['metric']} {change}")
    return f"{name}: {', '.join(parts)}"

"""Forgetting at equal proficiency: each method is read off its own learning-rate path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matched(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """How far every other axis moved where a method's test proficiency equals the best that LoRA reaches.

    Between two learning rates both scores are interpolated linearly (piecewise, over proficiency along the path).
    A method that does not reach the level gets None. Returns None without a swept LoRA.
    """
    swept = {name: m for name, m in record["methods"].items() if m["sweep"]}
    lora = [name for name, m in swept.items() if m["kind"] == "lora"]
    if not lora:
        return None
    higher = record["axes"]["proficiency"]["higher_is_better"]
    best = max if higher else min
    level = best(point["test"]["proficiency"] for name in lora for point in swept[name]["sweep"])
    others = [axis for axis in record["axes"] if axis != "proficiency"]
    return {
        "proficiency": level,
        "changes": {
            name: {
                axis: change_at(
                    level,
                    [point["test"]["proficiency"] for point in method["sweep"]],
                    [point["test"][axis] - method["axes"][axis]["before"] for point in method["sweep"]],
                )
                for axis in others
            }
            for name, method in swept.items()
        },
    }


def change_at(level: float, proficiency: list[float], change: list[float]) -> float | None:
    """`change` where the path first crosses `level` of proficiency, learning rates ascending; None if it never does."""
    for i, value in enumerate(proficiency):
        if value == level:
            return change[i]
        if i and (proficiency[i - 1] - level) * (value - level) < 0:
            share = (level - proficiency[i - 1]) / (value - proficiency[i - 1])
            return change[i - 1] + share * (change[i] - change[i - 1])
    return None

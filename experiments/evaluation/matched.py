"""Forgetting at equal proficiency: each method is read off its own learning-rate path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def matched(record: Mapping[str, Any], levels: Sequence[float] = ()) -> list[dict[str, Any]]:
    """How far every other axis moved where a method's test proficiency equals each of `levels`; where none are given,
    the best that LoRA reaches, if it was swept.

    Between two learning rates both scores are interpolated linearly (piecewise, over proficiency along the path).
    A method that does not reach the level gets None.
    """
    swept = {name: m for name, m in record["methods"].items() if m["sweep"]}
    paths = {name: [point["test"] for point in method["sweep"]] for name, method in swept.items()}
    reached = [point["proficiency"] for name in swept if swept[name]["kind"] == "lora" for point in paths[name]]
    given = bool(levels)
    if not levels and reached:
        levels = [max(reached) if record["axes"]["proficiency"]["higher_is_better"] else min(reached)]
    others = [axis for axis in record["axes"] if axis != "proficiency"]
    return [
        {
            "proficiency": level,
            "given": given,
            "changes": {
                name: {
                    axis: change_at(
                        level,
                        [point["proficiency"] for point in path],
                        [point[axis] - swept[name]["axes"][axis]["before"] for point in path],
                    )
                    for axis in others
                }
                for name, path in paths.items()
            },
        }
        for level in levels
        if paths
    ]


def change_at(level: float, proficiency: list[float], change: list[float]) -> float | None:
    """`change` where the path first crosses `level` of proficiency, learning rates ascending; None if it never does."""
    for i, value in enumerate(proficiency):
        if value == level:
            return change[i]
        if i and (proficiency[i - 1] - level) * (value - level) < 0:
            share = (level - proficiency[i - 1]) / (value - proficiency[i - 1])
            return change[i - 1] + share * (change[i] - change[i - 1])
    return None

"""Forgetting at equal proficiency, interpolated on the path of each method over learning rates."""

from collections.abc import Mapping, Sequence

from experiments.store.record import AxisDescription, Level
from experiments.store.record.method import Means, MethodResult


def matched(
    methods: Mapping[str, MethodResult], axes: Mapping[str, AxisDescription], levels: Sequence[float] = ()
) -> tuple[Level, ...]:
    """Change of every other axis where a method's test proficiency equals each of `levels`.

    Without `levels`: at the best proficiency that LoRA reaches, if it had several learning rates. Between two learning
    rates, changes are interpolated linearly in proficiency. A method that does not reach a level gets None. A learning
    rate without a score on every axis is left out.
    """
    paths = {name: [_known(rate.test) for rate in method.rates] for name, method in methods.items() if method.rates}
    paths = {name: [point for point in path if point] for name, path in paths.items()}
    reached = [point["proficiency"] for name in paths if methods[name].kind == "lora" for point in paths[name]]
    given = bool(levels)
    if not levels and reached:
        levels = [max(reached) if axes["proficiency"].higher_is_better else min(reached)]
    others = [axis for axis in axes if axis != "proficiency"]
    return tuple(
        Level(
            proficiency=level,
            given=given,
            changes={
                name: {
                    axis: change_at(
                        level,
                        [point["proficiency"] for point in path],
                        [point[axis] - methods[name].axes[axis].before for point in path],
                    )
                    for axis in others
                }
                for name, path in paths.items()
            },
        )
        for level in levels
        if paths
    )


def _known(scores: Means) -> dict[str, float]:
    """The scores; {} if one is unknown."""
    found = {axis: score for axis, score in scores.items() if score is not None}
    return found if len(found) == len(scores) else {}


def change_at(level: float, proficiency: list[float], change: list[float]) -> float | None:
    """`change` where proficiency first crosses `level`, with learning rates ascending; None if it never does."""
    for i, value in enumerate(proficiency):
        if value == level:
            return change[i]
        if i and (proficiency[i - 1] - level) * (value - level) < 0:
            share = (level - proficiency[i - 1]) / (value - proficiency[i - 1])
            return change[i - 1] + share * (change[i] - change[i - 1])
    return None

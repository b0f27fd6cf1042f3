"""Comparisons of measurements: the ratio of two contestants in every round, and the least that it should be."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.benchmarks.contest import Measurement, spread
from experiments.benchmarks.settings import Benchmark
from jaxft.llama import flops
from jaxft.methods import Full, GradientProjection


class Bar(NamedTuple):
    """The speed of `of` divided by that of `to`, each (side, work), should be at least `least`; None: report only."""

    name: str
    part: str
    of: tuple[str, str]
    to: tuple[str, str]
    least: float | None
    hint: str


def bars(settings: Benchmark) -> list[Bar]:
    """All comparisons of a benchmark; `judge` keeps those whose two sides were measured."""
    full, lora, greedy = "full", "lora", "greedy"
    step = "trace one step with jax.profiler.trace; first suspects: attention, float32 logits, the optimizer's update"
    formula = f"by formula {overhead(settings):.1%}; trace one step and look at the einsums of Basis.split"
    allowed = None if settings.overhead_bar is None else 1 / (1 + settings.overhead_bar)
    calibration = f"with the operations of both, {ceiling(settings):.2f} is the most at an equal speed of every product"
    asked = [
        Bar("full step", "train", ("jaxft", full), ("torch", full), 1.0, step),
        Bar("LoRA step", "train", ("jaxft", lora), ("torch", lora), 1.0, step),
        Bar("projection step", "train", ("jaxft", "projection"), ("jaxft", full), allowed, formula),
        Bar("projecting alone", "train", ("jaxft", "projection"), ("jaxft", "unprojected"), allowed, formula),
        Bar("calibration", "calibration", ("jaxft", "moments"), ("jaxft", "forward"), 0.8, calibration),
        Bar("generation", "generation", ("jaxft", greedy), ("torch", greedy), 4.0, "trace one call of generate"),
        Bar("import", "import", ("jaxft", "import"), ("torch", "import"), 1.0, "python -X importtime"),
    ]
    others = [Bar(name, "train", ("jaxft", name), ("jaxft", full), None, "") for name in settings.others]
    return [bar for bar in asked if bar.of[1] not in settings.others] + others


def overhead(settings: Benchmark) -> float:
    """Operations of the projections over those of a full fine-tuning step, by formula. Padding counts too."""
    config, rows, length = settings.config, settings.batch_rows, settings.row_length
    projected = GradientProjection(gradients=settings.gradients)
    return projected.projection_flops(config, settings.ranks) / Full().step_flops(config, rows, length).total


def ceiling(settings: Benchmark) -> float:
    """Operations of the blocks' forward pass over those of calibration, which also computes the moments."""
    config, rows, length = settings.config, settings.batch_rows, settings.real_length
    blocks = flops.blocks(config, rows, length)
    return blocks / (blocks + flops.moments(config, settings.tokens))


def judge(settings: Benchmark, measurements: Sequence[Measurement], *, same_device: bool) -> list[dict[str, Any]]:
    """The result of every comparison whose two sides were measured.

    met: None if no bar applies, as between frameworks that ran on different devices.
    """
    found = {(m["part"], m["side"], m["work"]): m for m in measurements if not m["failed"]}
    results = []
    for bar in bars(settings):
        of, to = found.get((bar.part, *bar.of)), found.get((bar.part, *bar.to))
        if of is None or to is None:
            continue
        scale = of["amount"] / to["amount"]
        ratio = spread([scale * t / o for o, t in zip(of["seconds"], to["seconds"], strict=True)])
        comparable = bar.of[0] == bar.to[0] or bar.part == "import" or same_device
        least = bar.least if comparable else None
        met = None if least is None else ratio["median"] >= least
        results.append(
            {
                "name": bar.name,
                "of": " ".join(bar.of),
                "to": " ".join(bar.to),
                "ratio": ratio,
                "least": least,
                "met": met,
                "hint": bar.hint if met is False else None,
            }
        )
    return results

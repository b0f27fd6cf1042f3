"""The memory model against the compiler: what is kept to the byte, what comes and goes roughly."""

from __future__ import annotations

from dataclasses import replace

import jax
import pytest

from jaxft import methods
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Compute
from jaxft.planning import programs
from jaxft.planning.devices import Chip
from jaxft.planning.estimate import estimate_step
from jaxft.planning.plan import Plan, plan_program
from jaxft.sharding import LAYOUTS, Sharding, make_mesh
from jaxft.training.config import Training

SHAPE = LlamaConfig(2048, 256, 704, 6, 8, 4, 32, 256)
TRAINING = Training(steps=10, batch_rows=16, row_length=256)
CHIP = Chip(1e12, 1e11, 1e10, 500e6)
METHODS: dict[str, methods.Method] = {
    "full": methods.Full(()),
    "lora": methods.Lora((), rank=8),
    "projection": methods.GradientProjection(()),
}


def both(name: str, preset: str, remat: str, training: Training = TRAINING) -> tuple[Plan, Plan]:
    """(estimated, compiled)"""
    sharding, compute = Sharding(preset), Compute(remat=remat, layout=LAYOUTS[preset])
    mesh, settings = make_mesh(sharding), METHODS[name]
    chips = 1 if mesh is None else len(jax.devices())
    estimated = estimate_step(
        name,
        settings,
        SHAPE,
        training,
        compute,
        sharding,
        dtype="float32",
        topology="some",
        chips=chips,
        chip=CHIP,
        rank=64,
    )
    compiled = plan_program(
        "some",
        mesh,
        CHIP,
        lambda: programs.step(name, settings, training, programs.abstract_base(SHAPE, compute, "float32"), 64),
        remat=remat,
        accumulation=1,
        limit=int(CHIP.memory),
    )
    return estimated, compiled


@pytest.mark.parametrize(
    ("name", "preset", "remat"),
    [
        ("full", "single", "nothing"),
        ("full", "single", "dots"),
        ("lora", "fsdp", "dots"),
        ("projection", "fsdp_tensor", "full"),
    ],
)
def test_against_the_compiler(name: str, preset: str, remat: str) -> None:
    estimated, compiled = both(name, preset, remat)
    for part in ("parameters", "trained", "optimizer", "constants", "flops", "rows", "length", "limit"):
        assert getattr(estimated, part) == getattr(compiled, part), part
    assert estimated.temporaries is not None and compiled.temporaries is not None
    assert estimated.source == "model" and not estimated.collectives
    assert 0.75 < estimated.temporaries / compiled.temporaries < 1.34


def test_whether_it_fits_is_told_by_the_chip() -> None:
    large, _ = both("full", "single", "nothing")
    small, _ = both("full", "single", "nothing", replace(TRAINING, batch_rows=1))
    assert large.peak is not None and small.peak is not None and small.peak < CHIP.memory < large.peak
    assert small.fits and not large.fits

"""Plans against what programs really need, and against what the TPU compiler says."""

from __future__ import annotations

from typing import Any

import jax
import pytest

from jaxft import methods
from jaxft.llama.config import SHAPES, LlamaConfig
from jaxft.llama.model import Compute
from jaxft.planning import programs
from jaxft.planning.devices import TPUS, chip_of, topology_devices
from jaxft.planning.plan import Plan, plan_program
from jaxft.sharding import LAYOUTS, Sharding, chip_bytes, make_mesh, use_mesh
from jaxft.training.config import Training
from jaxft.training.step import initial_state
from tests.jaxft.test_sharding import model
from tests.jaxft.training.small_run import random_subspaces

SMALL = LlamaConfig(64, 32, 48, 2, 8, 8, 4, 64)
TRAINING = Training(steps=10, batch_rows=8, row_length=16)
METHODS: dict[str, methods.Method] = {
    "full": methods.Full(()),
    "lora": methods.Lora((), rank=4),
    "projection": methods.GradientProjection((), kfac_strength=1.0, kfac_outputs=True),
}


def compiled(lower: Any, preset: str, topology: str | None = None, limit: int | None = None) -> Plan:
    devices = jax.devices() if topology is None else topology_devices(topology)
    mesh, compute = make_mesh(Sharding(preset), devices), Compute(remat="dots", layout=LAYOUTS[preset])
    return plan_program(
        topology or "attached",
        mesh,
        None if topology is None else chip_of(topology),
        lambda: lower(programs.abstract_base(SMALL, compute, "float32")),
        remat="dots",
        accumulation=1,
        limit=limit,
    )


def step_plan(name: str, settings: methods.Method, preset: str, rank: int = 8, topology: str | None = None) -> Plan:
    return compiled(lambda base: programs.step(name, settings, TRAINING, base, rank), preset, topology)


def test_published_shapes_have_the_published_numbers_of_parameters() -> None:
    counts = {name: shape.parameter_count for name, shape in SHAPES.items()}
    assert counts == {"llama2_7b": 6_738_415_616, "llama2_13b": 13_015_864_320, "llama2_70b": 68_976_648_192}


@pytest.mark.parametrize("preset", ["single", "fsdp"])
@pytest.mark.parametrize("kind", METHODS)
def test_the_planned_state_is_the_state_that_is_made(kind: str, preset: str) -> None:
    """Bytes of one device, against arrays on it."""
    plan, method = step_plan(kind, METHODS[kind], preset, rank=10**6), METHODS[kind]
    layout = LAYOUTS[preset]
    with use_mesh(make_mesh(Sharding(preset))):
        base = model(layout)
        constants = method.constants(random_subspaces(model(LAYOUTS["single"])), layout)  # half of each width
        state = initial_state(method, TRAINING, base, constants, jax.random.key(0))
        parts = (base, state.trainable, state.optimizer, constants)
        held = [
            sum(shard.data.nbytes for a in jax.tree.leaves(part) for shard in a.addressable_shards[:1])
            for part in parts
        ]
    assert [plan.parameters, plan.trained, plan.optimizer, plan.constants] == held
    assert [chip_bytes(part) for part in parts] == held
    assert plan.fits and plan.peak is not None and plan.peak > sum(held[1:])
    assert plan.chips == (1 if preset == "single" else 8)
    assert plan.roofline is None and plan.error is None


@pytest.mark.parametrize("preset", ["single", "fsdp"])
def test_calibration_and_generation(preset: str) -> None:
    calibration = compiled(lambda base: programs.calibration(8, 16, base), preset)
    generation = compiled(lambda base: programs.generation(8, 16, 5, base), preset)
    devices, widths = (1 if preset == "single" else 8), (32, 32, 32, 48)
    assert calibration.constants == 2 * sum(4 * (w * w // devices + 1) for w in widths)  # sums and a weight each
    assert generation.length == 32 and generation.tokens == 8 * 5  # prompts are padded
    for plan in (calibration, generation):
        assert plan.peak is not None and plan.peak > plan.parameters + plan.constants
        assert bool(plan.collectives) == (preset == "fsdp")


def test_a_program_larger_than_the_limit_does_not_fit() -> None:
    def lower(base: Any) -> programs.Program:
        return programs.step("full", METHODS["full"], TRAINING, base, 8)

    peak = compiled(lower, "single").peak
    assert peak is not None
    assert compiled(lower, "single", limit=peak).fits
    assert not compiled(lower, "single", limit=peak - 1).fits


def test_projection_moves_no_more_than_its_coefficients() -> None:
    """Beside what plain changes of weights move: sums of k x d_out for each weight, none larger."""
    plain = methods.GradientProjection((), gradients=0.0, updates=False)
    both = methods.GradientProjection(())
    found = {name: step_plan(name, settings, "fsdp") for name, settings in (("plain", plain), ("both", both))}
    shapes, layers, size = SMALL.linear_shapes, SMALL.num_layers, 4
    # o and down are split over d_out where the hidden width is: nothing is summed for them.
    coefficients = sum(2 * layers * 8 * n * size for name, (_, n) in shapes.items() if name not in ("o", "down"))
    added = {k: v - found["plain"].collectives.get(k, 0) for k, v in found["both"].collectives.items()}
    assert sum(abs(v) for v in added.values()) <= 2 * coefficients * 1.05
    assert added["all-reduce"] > 0
    assert found["both"].largest_collective == found["plain"].largest_collective


@pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('libtpu')", reason="needs the TPU compiler, libtpu"
)
def test_a_step_is_compiled_for_a_slice_that_is_not_here() -> None:
    plan = step_plan("projection", METHODS["projection"], "fsdp", topology="v5e:2x4")
    assert plan.chips == 8
    assert plan.fits and plan.peak is not None and plan.temporaries is not None
    assert plan.parameters + plan.trained <= plan.peak
    least = plan.flops / 8 / TPUS["v5e"].flops
    assert plan.roofline is not None and plan.roofline >= least
    assert plan.tokens_per_second == pytest.approx(8 * 16 / 8 / plan.roofline)
    assert sum(plan.collectives.values()) > 0

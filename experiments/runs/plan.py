"""`jaxft plan`: memory and time of each method's training step, calibration and generation on each topology."""

import logging
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from experiments.base_model import compute_settings, model_folder
from experiments.config import Experiment
from experiments.report.columns import aligned
from experiments.runs.checks import check_fit, check_mesh, check_settings
from experiments.store.provenance import heading, versions
from jaxft.errors import UserError
from jaxft.io import write_json
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import SHAPES, LlamaConfig
from jaxft.llama.model import Llama
from jaxft.planning import programs
from jaxft.planning.devices import SLICES, chip_count, chip_of, gpu_count, is_gpu, topology_devices
from jaxft.planning.estimate import estimate_step
from jaxft.planning.plan import Plan, plan_program
from jaxft.planning.plan import to_json as plans_to_json
from jaxft.planning.search import largest
from jaxft.sharding import LAYOUTS, abstract_mesh, make_mesh
from jaxft.training.memory import GIB, memory_limit

log = logging.getLogger("jaxft")

#: Version of the record's JSON; raised when the name or the meaning of a key changes.
FORMAT = 1
ASSUMPTIONS = (
    "Bytes are GiB of one chip. FLOPs by formula: causal attention, no recomputation. Roofline: the longest of\n"
    "computing at the chip's stated bf16 speed, reading what is held and moving the collectives, all overlapped;\n"
    "nothing runs faster. Bases of {rank} directions, at most half of a width. Calibration: one batch of reference\n"
    "rows through all layers; the hidden states of all other rows come on top."
)
MODEL = (
    "Lines marked ~ are by formula, not compiled, and count no collectives: see jaxft/planning/estimate.py.\n"
    "Calibration and generation have no formula and are left out there."
)


@dataclass(frozen=True)
class Target:
    """The devices to plan for: those of a topology by name, or None for the attached devices."""

    topology: str | None

    @property
    def devices(self) -> list[Any]:
        return jax.devices() if self.topology is None else topology_devices(self.topology)

    @property
    def chips(self) -> int:
        return len(jax.devices()) if self.topology is None else chip_count(self.topology)

    @property
    def estimated(self) -> bool:
        return self.topology is not None and is_gpu(self.topology)

    @property
    def name(self) -> str:
        return self.topology or f"attached {jax.devices()[0].device_kind}"

    def mesh(self, experiment: Experiment) -> Any:
        sharding = experiment.model.sharding
        return abstract_mesh(sharding, self.chips) if self.estimated else make_mesh(sharding, self.devices)

    def rows(self, experiment: Experiment) -> int:
        """The number of devices that rows are sharded over."""
        axes = LAYOUTS[experiment.model.sharding.preset].batch
        return math.prod(self.mesh(experiment).shape[axis] for axis in axes)


@dataclass(frozen=True)
class Planner:
    """Plans of one experiment's programs."""

    experiment: Experiment
    model: LlamaConfig
    rank: int

    def step(self, target: Target, name: str) -> Plan:
        """A method's training step."""
        experiment, settings = self.experiment, self.experiment.model
        compute = compute_settings(settings, self.model, self._platform(target))
        method, training = experiment.trained[name], experiment.training
        if target.estimated:
            assert target.topology is not None
            chip = chip_of(target.topology)
            assert chip is not None
            return estimate_step(
                name,
                method,
                self.model,
                training,
                compute,
                settings.sharding,
                dtype=settings.param_dtype,
                topology=target.topology,
                chips=target.chips,
                chip=chip,
                rank=self.rank,
            )
        return self._compiled(target, lambda base: programs.step(name, method, training, base, self.rank))

    def others(self, target: Target) -> list[Callable[[], Plan]]:
        """Calibration, if the config has reference text, and generation; [] for GPU topologies, which are estimated."""
        reference, evaluation = self.experiment.reference, self.experiment.evaluation
        lowered: list[Callable[[Llama], programs.Program]] = []
        if reference is not None:
            lowered.append(partial(programs.calibration, reference.batch_rows, reference.length))
        shape = (evaluation.batch_size, evaluation.row_length, evaluation.max_new_tokens)
        lowered.append(partial(programs.generation, *shape))
        return [] if target.estimated else [partial(self._compiled, target, lower) for lower in lowered]

    def with_rows(self, target: Target, name: str, remat: str, rows: int) -> Plan:
        """The step with another remat policy and `rows` rows on every device."""
        training = replace(self.experiment.training, batch_rows=rows * target.rows(self.experiment), accumulation=1)
        model = replace(self.experiment.model, remat=remat)
        changed = replace(self, experiment=replace(self.experiment, training=training, model=model))
        return changed.step(target, name)

    def _compiled(self, target: Target, lower: Callable[[Llama], programs.Program]) -> Plan:
        settings = self.experiment.model
        compute = compute_settings(settings, self.model, self._platform(target))
        chip = None if target.topology is None else chip_of(target.topology)
        return plan_program(
            target.name,
            target.mesh(self.experiment),
            chip,
            lambda: lower(programs.abstract_base(self.model, compute, settings.param_dtype)),
            remat=settings.remat,
            accumulation=self.experiment.training.accumulation,
            limit=memory_limit(target.devices[0]) if chip is None else int(chip.memory),
        )

    @staticmethod
    def _platform(target: Target) -> str | None:
        return None if target.topology is None else "gpu" if target.estimated else "tpu"


def plan(
    experiment: Experiment,
    names: Sequence[str],
    wanted: Sequence[str] | None,
    rank: int,
    others: bool,
    find: bool,
    path: Path | None,
    command: str,
) -> str:
    """Plan on each `wanted` topology (None: the attached devices), write the record to `path`, and return the table.

    others: also plan calibration and generation. find: for each method, search the cheapest recomputation and the
    largest batch that fit; a topology without a shape, such as "v5e", then means its smallest slice that is enough.
    """
    if rank < 1:
        raise UserError(f"--rank: found {rank}, expected at least 1")
    check_settings(experiment)
    model = model_shape(experiment)
    check_fit(experiment, model)
    planner, found, missed = Planner(experiment, model, rank), [], []
    topologies: list[str | None] = [*wanted] if wanted else [None]
    targets = [[Target(name) for name in _slices(topology, find)] for topology in topologies]
    for target in (one for group in targets for one in group):  # raises before the first long compilation
        if target.estimated:
            gpu_count(target.name)
        if not find:
            check_mesh(experiment, model, target.mesh(experiment))

    def keep(one: Plan) -> None:
        found.append(one)
        if path is not None:  # after every plan, so that a later error loses none
            head = {"format": FORMAT, **heading(f"plan of {experiment.name}", command, experiment)}
            more = {"versions": versions(), "assumed_rank": rank, "plans": plans_to_json(found)}
            write_json(path, head | more)

    for group in targets:
        if find:
            for name in names:
                if (best := _find(planner, group, name)) is not None:
                    keep(best)
                else:
                    missed.append(f"{name}: fits on none of {', '.join(target.name for target in group)}")
            continue
        (target,) = group
        log.info(f"plan: {'estimating' if target.estimated else 'compiling'} for {target.name}")
        jobs = [partial(planner.step, target, name) for name in names]
        jobs += planner.others(target) if others else []
        # The compiler uses one core for one program.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for one in pool.map(lambda job: job(), jobs):
                if not target.estimated:
                    log.info(f"plan: {one.program} compiled in {one.compile_seconds:.0f} s")
                keep(one)
    hints = [f"{p.program} on {p.topology}: --model.remat {p.remat} --training.batch_rows {p.rows}" for p in found]
    return "\n".join([table(found, rank), *missed, *(hints if find else [])])


def _slices(topology: str | None, find: bool) -> list[str | None]:
    """The topology itself; or, with `find` and for a generation such as "v5e", all its slices, smallest first."""
    if find and topology in SLICES:
        return [f"{topology}:{shape}" for shape in SLICES[topology]]
    return [topology]


def _find(planner: Planner, targets: Sequence[Target], name: str) -> Plan | None:
    for target in targets:

        def attempt(remat: str, rows: int, target: Target = target) -> Plan:
            log.info(f"plan: {name} on {target.name} with remat {remat} and {rows} rows a chip")
            return planner.with_rows(target, name, remat, rows)

        if (best := largest(attempt)) is not None:
            return best
    return None


def model_shape(experiment: Experiment) -> LlamaConfig:
    """The shape of the config's model: from its folder if that can be had, else the published `model.shape`."""
    shape = experiment.model.shape
    try:
        folder = model_folder(experiment.model.folder)
    except UserError:
        if not shape:
            raise
        return SHAPES[shape]
    if (folder / "config.json").is_file() or not shape:
        return read_config(folder)
    return SHAPES[shape]


def table(plans: Sequence[Plan], rank: int) -> str:
    """The plans as text, one line each, with errors and notes below."""
    head = ("topology", "chips", "program", "rows x length", "remat", "fits", "weights", "trained", "Adam", "bases")
    head += ("temporary", "peak", "limit", "collectives", "PFLOP", "roofline", "tokens/s/chip", "compile")
    lines = [head, *(_line(plan) for plan in plans)]
    refused = [f"{p.program} on {p.topology}: {p.error}" for p in plans if p.error]
    notes = [ASSUMPTIONS.format(rank=rank), *([MODEL] if any(p.source == "model" for p in plans) else [])]
    return "\n".join([*aligned(lines), *refused, "", *notes])


def _line(plan: Plan) -> tuple[str, ...]:
    modelled = plan.source == "model"

    def gib(size: int | None) -> str:
        return "" if size is None else f"{size / GIB:.2f}"

    return (
        plan.topology,
        str(plan.chips),
        plan.program,
        f"{plan.rows} x {plan.length}" + (f" / {plan.accumulation}" if plan.accumulation > 1 else ""),
        plan.remat,
        "yes" if plan.fits else "NO",
        gib(plan.parameters),
        gib(plan.trained),
        gib(plan.optimizer),
        gib(plan.constants),
        ("~" if modelled else "") + gib(plan.temporaries),
        ("~" if modelled else "") + gib(plan.peak),
        gib(plan.limit),
        "" if modelled else gib(sum(plan.collectives.values())),
        f"{plan.flops / 1e15:.3g}",
        "" if plan.roofline is None else f"{plan.roofline:.3g} s",
        "" if plan.tokens_per_second is None else f"{plan.tokens_per_second:,.0f}",
        "" if modelled else f"{plan.compile_seconds:.0f} s",
    )

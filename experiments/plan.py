"""`jaxft plan`: what one training step of each method needs on each topology, as a table and a record."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.checks import check_fit, check_mesh, check_settings
from experiments.provenance import versions, write_json
from experiments.report.columns import aligned
from experiments.settings import to_json
from experiments.setup import compute_settings, model_folder, note
from jaxft.config import Experiment
from jaxft.errors import UserError
from jaxft.llama.checkpoint import read_config
from jaxft.llama.config import SHAPES, LlamaConfig
from jaxft.planning import Plan, plan_step, topology_devices
from jaxft.planning import to_json as plans_to_json
from jaxft.sharding import make_mesh

GIB = 2**30
ASSUMPTIONS = (
    "Bytes are GiB of one chip. FLOPs by formula: causal attention, no recomputation. Roofline: the longest of\n"
    "computing at the chip's stated bf16 speed, reading all arguments once and moving the collectives, perfectly\n"
    "overlapped; no step is faster. Bases of {rank} directions, at most half of a width."
)


def plan(
    experiment: Experiment,
    names: Sequence[str],
    wanted: Sequence[str] | None,
    rank: int,
    path: Path | None,
    command: str,
) -> str:
    """Plan each named method on each topology (None: the attached devices); the table. Writes the record to `path`."""
    if rank < 1:
        raise UserError(f"--rank: found {rank}, expected at least 1")
    check_settings(experiment)
    model, settings = model_shape(experiment), experiment.model
    check_fit(experiment, model)
    found: list[Plan] = []
    topologies: list[str | None] = [*wanted] if wanted else [None]
    for topology in topologies:  # every mistake shows before the first long compilation
        mesh = make_mesh(settings.sharding, None if topology is None else topology_devices(topology))
        check_mesh(experiment, model, mesh)
    for topology in topologies:
        for name in names:
            note(f"plan: compiling {name} for {topology or 'the attached devices'}")
            found.append(
                plan_step(
                    name,
                    experiment.methods[name],
                    model,
                    experiment.training,
                    compute_settings(settings, model, "tpu" if topology else None),
                    settings.sharding,
                    dtype=settings.param_dtype,
                    topology=topology,
                    rank=rank,
                )
            )
            if path is not None:  # what is compiled stays, whatever comes after
                write_json(path, _record(experiment, found, rank, command))
    return table(found, rank)


def model_shape(experiment: Experiment) -> LlamaConfig:
    """The shape of the config's model: from its folder where that is here, else the published one it names."""
    folder, shape = model_folder(experiment.model.folder), experiment.model.shape
    if (folder / "config.json").is_file() or not shape:
        return read_config(folder)
    return SHAPES[shape]


def table(plans: Sequence[Plan], rank: int) -> str:
    """One line a plan."""
    head = ("topology", "chips", "method", "rows x length", "fits", "weights", "trained", "Adam", "bases", "temporary")
    head += ("peak", "collectives", "PFLOP", "roofline", "tokens/s/chip", "compile")
    lines = [head, *(_line(plan) for plan in plans)]
    refused = [f"{p.method} on {p.topology}: {p.error}" for p in plans if p.error]
    return "\n".join([*aligned(lines), *refused, "", ASSUMPTIONS.format(rank=rank)])


def _line(plan: Plan) -> tuple[str, ...]:
    def gib(size: int | None) -> str:
        return "" if size is None else f"{size / GIB:.2f}"

    return (
        plan.topology,
        str(plan.chips),
        plan.method,
        f"{plan.rows} x {plan.length}",
        "yes" if plan.fits else "NO",
        gib(plan.parameters),
        gib(plan.trained),
        gib(plan.optimizer),
        gib(plan.constants),
        gib(plan.temporaries),
        gib(plan.peak),
        gib(sum(plan.collectives.values())),
        f"{plan.flops / 1e15:.3g}",
        "" if plan.roofline is None else f"{plan.roofline:.3g} s",
        "" if plan.tokens_per_second is None else f"{plan.tokens_per_second:,.0f}",
        f"{plan.compile_seconds:.0f} s",
    )


def _record(experiment: Experiment, plans: list[Plan], rank: int, command: str) -> dict[str, Any]:
    return {
        "format": 1,
        "name": f"plan of {experiment.name}",
        "command": command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": to_json(experiment),
        "versions": versions(),
        "assumed_rank": rank,
        "plans": plans_to_json(plans),
    }

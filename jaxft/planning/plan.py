"""Compile jaxft's programs for devices that need not be attached, and find out which fit.

The TPU compiler (extra `plan`) needs no TPU: it compiles for a named topology and reports the memory of each chip and
the collectives. Without a topology, programs are compiled for the attached devices.
"""

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from jaxft.planning.devices import Chip
from jaxft.planning.hlo import collective_bytes
from jaxft.planning.programs import Program
from jaxft.sharding import use_mesh
from jaxft.training.memory import planned_bytes, refusal


@dataclass(frozen=True)
class Plan:
    """The plan of one program on one topology; bytes are of one chip, times in seconds.

    source: "compiled", or "model" for the memory model of jaxft/planning/estimate.py. peak: arguments, temporaries and
    code at once, as the compiler places them; the bytes it asked for if they do not fit; None if it does not say.
    limit: bytes that a program may use; None if unknown. collectives: bytes that arrive at a chip in one run, by kind.
    flops: of the whole run by formula, without recomputation. roofline: a lower bound of the time of a run, the longest
    of computing at the chip's peak, all reads of the stored arrays, and moving the collectives, which overlap
    perfectly. error: the compiler's message if the program does not fit.
    """

    topology: str
    chips: int
    program: str
    remat: str
    rows: int
    length: int
    accumulation: int
    source: str
    fits: bool
    parameters: int
    trained: int
    optimizer: int
    constants: int
    peak: int | None
    limit: int | None
    collectives: dict[str, int]
    largest_collective: int
    flops: float
    tokens: int
    roofline: float | None
    compile_seconds: float
    error: str | None = None

    @property
    def temporaries(self) -> int | None:
        """Bytes of the peak except for the stored arrays."""
        kept = self.parameters + self.trained + self.optimizer + self.constants
        return None if self.peak is None else max(self.peak - kept, 0)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens per second of one chip at the roofline."""
        return None if self.roofline is None else self.tokens / self.chips / self.roofline


def plan_program(
    topology: str,
    mesh: Mesh | None,
    chip: Chip | None,
    lower: Callable[[], Program],
    *,
    remat: str,
    accumulation: int,
    limit: int | None,
) -> Plan:
    """Compile the program that `lower` returns, for the devices of the mesh, on which `lower` is called."""
    began, chips = time.perf_counter(), 1 if mesh is None else mesh.size
    peaks, error, collectives, largest = [], None, {}, 0
    with use_mesh(mesh):
        program = lower()
        for part in program.parts:
            try:
                compiled = part.lowered.compile()
            except jax.errors.JaxRuntimeError as refused:
                if (error := refusal(refused)) is None:
                    raise
                asked = _asked(str(refused))
                peaks = [] if asked is None else [part.beside + asked]
                break
            memory = compiled.memory_analysis()
            peaks.append(part.beside + planned_bytes(memory) + int(memory.generated_code_size_in_bytes))
            moved, one = collective_bytes(compiled.as_text())
            largest = max(largest, one)
            for kind, size in moved.items():
                collectives[kind] = collectives.get(kind, 0) + size * part.times
    seconds = time.perf_counter() - began
    peak = max(peaks, default=None)
    fits = error is None and (peak is None or limit is None or peak <= limit)
    return Plan(
        topology=topology,
        chips=chips,
        **program.facts,
        remat=remat,
        accumulation=accumulation,
        source="compiled",
        fits=fits,
        peak=peak,
        limit=limit,
        collectives=collectives,
        largest_collective=largest,
        roofline=None if chip is None or error else roofline(program, chips, chip, sum(collectives.values())),
        compile_seconds=round(seconds, 1),
        error=error,
    )


def roofline(program: Program, chips: int, chip: Chip, moved: int) -> float:
    """A lower bound of the seconds of a run. moved: bytes that arrive at a chip."""
    return max(
        program.flops / chips / chip.flops,
        program.reads * sum(program.held.values()) / chip.memory_bandwidth,
        moved / chip.link_bandwidth,
    )


def _asked(message: str) -> int | None:
    """Bytes that a refused program needs, from the TPU compiler's message: "Used 20.1G of 15.75G hbm"."""
    found = re.search(r"Used ([\d.]+)([KMGT]) of", message)
    return None if found is None else int(float(found[1]) * 1024 ** ("KMGT".index(found[2]) + 1))


def to_json(plans: list[Plan]) -> list[dict[str, Any]]:
    """The plans as JSON data for a record."""
    return [
        {**asdict(p), "temporaries": p.temporaries, "tokens_per_second_per_chip": p.tokens_per_second} for p in plans
    ]

"""`jaxft benchmark`: measure every part, compare, and write one record."""

import os
from pathlib import Path
from typing import Any

from experiments.benchmarks import ours, rival
from experiments.benchmarks.bars import ceiling, judge, overhead
from experiments.benchmarks.contest import Measurement, measure
from experiments.benchmarks.devices import peak
from experiments.benchmarks.settings import Benchmark
from experiments.config_loader import to_json
from experiments.store.provenance import hardware, heading, versions
from jaxft import bounds
from jaxft.io import write_json

Record = dict[str, Any]

#: Version of the record's JSON; raised whenever a key changes its name or meaning.
FORMAT = 1


def benchmark(settings: Benchmark, out: Path, command: str) -> Record:
    """Measure and write `out`/record.json. UserError for settings that cannot be measured.

    jaxft runs on JAX's first device, torch on the first CUDA device or, without one, on the CPU.
    """
    bounds.check(settings)
    load = os.getloadavg()[0]
    torch, device = rival.describe(settings), hardware()
    measurements: list[Measurement] = []
    for part in settings.parts:
        rivals = rival.contestants(settings, part) if torch["available"] else []
        measurements += measure(ours.contestants(settings, part) + rivals, settings.rounds)
    peaks = {
        "jaxft": peak(device["device"], settings.dtype),
        "torch": peak(torch["device"], settings.dtype) if torch["available"] else None,
    }
    for measurement in measurements:
        measurement["utilisation"] = _utilisation(measurement, peaks[measurement["side"]])
    same = torch["available"] and torch["platform"] == {"gpu": "cuda"}.get(device["platform"], device["platform"])
    record = {
        "format": FORMAT,
        **heading(settings.name, command, settings),
        "kind": "benchmark",
        "shape": to_json(settings.config),
        "parameters": settings.config.parameter_count,
        "versions": versions(),
        "hardware": {**device, "peak_flops": peaks["jaxft"], "load_before": load},
        "rival": torch,
        "measurements": measurements,
        "comparisons": judge(settings, measurements, same_device=bool(same)),
        "formulas": {"projection_overhead": overhead(settings), "calibration_ceiling": ceiling(settings)},
    }
    write_json(out / "record.json", record)
    return record


def _utilisation(measurement: Measurement, peak_flops: float | None) -> float | None:
    """Model FLOPs utilisation of the median round; None if the peak is unknown or there is nothing to count."""
    if peak_flops is None or measurement["flops"] is None or measurement["rate"] is None:
        return None
    return measurement["flops"] / measurement["amount"] * measurement["rate"]["median"] / peak_flops

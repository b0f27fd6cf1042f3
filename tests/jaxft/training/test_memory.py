"""The memory of devices; and a step that does not fit is refused before it runs, with what would fit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from jaxft.errors import DoesNotFit
from jaxft.methods import Full
from jaxft.methods.base import Statistics
from jaxft.sharding import chip_bytes
from jaxft.training import memory
from jaxft.training.loop import train
from jaxft.training.memory import GIB, check_memory, free_memory, memory_limit, refusal
from jaxft.training.step import initial_state, make_step
from tests.jaxft.training.small_run import TRAINING, base, rows

METHOD = Full(())


def needed(training: Any) -> tuple[int, int]:
    """(bytes that a step needs beside what is there, bytes of its gradients)"""
    state = initial_state(METHOD, training, base(), None, jax.random.key(0))
    batch = {name: getattr(rows(4), name)[:4] for name in ("tokens", "positions", "segments", "targets", "weights")}
    found = make_step(METHOD, training).lower(state, base(), None, batch, 1e-3).compile().memory_analysis()  # pyright: ignore
    size = found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return size, chip_bytes(state.trainable)


def attempt(folder: Path | None, training: Any = TRAINING) -> Any:
    constants = METHOD.constants(Statistics())
    return train(METHOD, training, 1e-3, base(), constants, rows(), seed=0, label="test", folder=folder)


@pytest.mark.parametrize(
    ("share", "advice"),
    [(0.9, "Training.accumulation 2 should fit"), (0.3, "Training.accumulation 4 should fit"), (-0.5, "Spread it")],
)
def test_too_little_memory(share: float, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, gradients = needed(TRAINING)
    free = gradients + int(share * (size - gradients))
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    with pytest.raises(DoesNotFit, match=f"the training step needs {size / GIB:.2f} GiB.*\n.*{advice}"):
        attempt(tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_what_fits_exactly_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    size, _ = needed(training := replace(TRAINING, steps=1))
    monkeypatch.setattr(memory, "free_memory", lambda device: size)
    assert attempt(None, training).timings is not None
    monkeypatch.setattr(memory, "free_memory", lambda device: None)  # a device that does not say
    assert attempt(None, training).timings is not None


def test_a_compiler_that_refuses_is_quoted() -> None:
    class Refusing:
        def lower(self, *_: Any) -> Any:
            said = "RESOURCE_EXHAUSTED: no.\nUsed 20.1G of 15.75G hbm. Exceeded hbm capacity by 4.4G."
            raise jax.errors.JaxRuntimeError(said)

    with pytest.raises(DoesNotFit, match="the compiler says Used 20.1G of 15.75G hbm.*\nSpread it over more devices"):
        check_memory(Refusing(), (None, base(), None, {}, 0.0), TRAINING)


def test_a_refusal_is_told_from_other_failures() -> None:
    said = "RESOURCE_EXHAUSTED: no.\nUsed 20.1G of 15.75G hbm. Exceeded hbm capacity by 4.4G."
    assert refusal(RuntimeError(said)) == "Used 20.1G of 15.75G hbm. Exceeded hbm capacity by 4.4G."
    assert refusal(RuntimeError("CompileTimeHbmOom:\nno room")) == "CompileTimeHbmOom: no room"
    assert refusal(RuntimeError("INTERNAL: exceeded patience")) is None


def test_the_limit_of_a_cpu_device_is_its_share_of_the_machine() -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory_limit(jax.devices()[0]) == whole // jax.local_device_count()


def test_free_memory_is_what_the_device_says() -> None:
    gpu = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 100, "bytes_in_use": 30}, platform="gpu")
    assert free_memory(gpu) == 70
    assert free_memory(SimpleNamespace(memory_stats=lambda: None, platform="gpu")) is None


def test_cpu_devices_share_what_the_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    assert free_memory(jax.devices()[0]) is None  # not on Linux
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:   8 kB\n")
    assert free_memory(jax.devices()[0]) == 8 * 1024 // jax.local_device_count()

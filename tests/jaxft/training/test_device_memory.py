"""What devices say of their memory."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from jaxft.training import device_memory
from jaxft.training.memory import free_memory, memory_limit, refusal


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
    monkeypatch.setattr(device_memory, "MEMINFO", meminfo)
    assert free_memory(jax.devices()[0]) is None  # not on Linux
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:   8 kB\n")
    assert free_memory(jax.devices()[0]) == 8 * 1024 // jax.local_device_count()

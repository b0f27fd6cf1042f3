"""What programs need of a device's memory, what it has, and how a compiler says that it is not enough."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

GIB = 2**30
MEMINFO = Path("/proc/meminfo")


def planned_bytes(memory: Any) -> int:
    """Of a compiled program: what goes in and comes out, counted once where donated, and temporaries."""
    return int(memory.argument_size_in_bytes) + added_bytes(memory)


def added_bytes(memory: Any) -> int:
    """Of a compiled program: what it takes beside its arguments."""
    return int(memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes)


def refusal(error: Exception) -> str | None:
    """What a compiler says of a program that does not fit; None where it failed for another reason."""
    text = str(error)
    if "RESOURCE_EXHAUSTED" not in text and "CompileTimeHbmOom" not in text:
        return None
    return next((line.strip() for line in text.splitlines() if "xceed" in line), " ".join(text.split())[:300])


def memory_limit(device: Any) -> int | None:
    """Bytes that programs may use on an attached device; None where it does not say. CPU devices share a machine."""
    if device.platform == "cpu":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // device.client.local_device_count()
    return (device.memory_stats() or {}).get("bytes_limit")


def free_memory(device: Any) -> int | None:
    """Bytes that programs may still take on a device; None where it does not say. CPU devices share the machine's."""
    found = device.memory_stats() or {}
    if "bytes_limit" in found:
        return found["bytes_limit"] - found["bytes_in_use"]
    if device.platform != "cpu" or not MEMINFO.exists():
        return None
    kib = next(int(line.split()[1]) for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
    return kib * 1024 // device.client.local_device_count()

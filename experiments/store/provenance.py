"""The origin of a record's numbers: command, config, versions and hardware."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import jax

from experiments.config_loader import to_json

PACKAGES = ("jaxft", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "transformers", "numpy", "scipy")


def heading(name: str, command: str, config: Any) -> dict[str, Any]:
    """The first fields of every record. config: the dataclass that the command ran."""
    return {
        "name": name,
        "command": command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": to_json(config),
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def hardware() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "cpu": _cpu_name(),
        "cpu_cores": os.cpu_count(),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # jaxft run from its source folder
        return "not installed"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

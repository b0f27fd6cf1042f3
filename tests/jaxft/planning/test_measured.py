"""Planned memory against what the operating system saw."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.slow  # each trains for a gigabyte in a process of its own, twice
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads a process's highest size from Linux")
@pytest.mark.parametrize("method", ["full", "lora", "projection"])
def test_a_step_takes_what_was_planned(method: str) -> None:
    words = [sys.executable, "-m", "tests.jaxft.planning.measured_memory", method]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    planned, measured = map(int, done.stdout.split())
    assert planned > 1e9, "too small to be told from what the process takes anyway"
    assert measured == pytest.approx(planned, rel=0.1)

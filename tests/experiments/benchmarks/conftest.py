"""One record of every part, measured once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from experiments.benchmarks import benchmark
from tests.experiments.benchmarks.toy import toy


class Measured(NamedTuple):
    out: Path
    record: dict[str, Any]


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Read only."""
    out = tmp_path_factory.mktemp("benchmark")
    return Measured(out, benchmark(toy(overhead_bar=0.03), out, "jaxft benchmark toy.py"))

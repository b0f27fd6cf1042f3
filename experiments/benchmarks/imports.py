"""The wait before anything runs: imports in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from experiments.benchmarks.contest import Contestant, Opened
from experiments.benchmarks.rival import missing

#: The repository's root, for a jaxft that runs from its source folder.
ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    ("jaxft", "import"): ("-c", "import jaxft.llama.model"),
    ("jaxft", "help"): ("-m", "experiments.start", "--help"),
    ("torch", "import"): ("-c", "import transformers.models.llama.modeling_llama"),
}


def contestants() -> list[Contestant]:
    """The imports to time. A run is one fresh process; the first of a benchmark may find a cold disk cache."""
    return [
        Contestant("import", work, side, "starts", 1, None, partial(_process, command), warm=False)
        for (side, work), command in COMMANDS.items()
        if side == "jaxft" or not missing()
    ]


@contextmanager
def _process(command: tuple[str, ...]) -> Iterator[Opened]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))

    def run(times: int) -> None:
        for _ in range(times):
            subprocess.run(
                [sys.executable, *command], env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True
            )

    yield Opened(run, dict)

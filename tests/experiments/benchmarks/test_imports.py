"""Fresh processes are started and their failure is not taken for speed."""

from __future__ import annotations

import subprocess

import pytest

from experiments.benchmarks import imports, rival


def test_who_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "missing", lambda: ["torch"])
    assert [(c.side, c.work) for c in imports.contestants()] == [("jaxft", "import"), ("jaxft", "help")]
    monkeypatch.setattr(imports, "missing", lambda: [])
    assert ("torch", "import") in [(c.side, c.work) for c in imports.contestants()]
    assert rival.PACKAGES == ("torch", "transformers", "peft")


def test_a_process_that_fails_ends_the_benchmark() -> None:
    with imports._process(("-c", "raise SystemExit(3)")) as opened, pytest.raises(subprocess.CalledProcessError):
        opened.run(1)

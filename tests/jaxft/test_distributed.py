"""Two real processes train as one, stop together, and go on from each other's checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxft import distributed
from jaxft.errors import UserError
from jaxft.preemption import EXIT_CODE, Preempted
from tests.jaxft import two_processes
from tests.jaxft.two_processes import run

ROOT = Path(__file__).parents[2]
LONG: dict[str, Any] = {"steps": 20, "every": 5}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start(jobs: list[dict], process: int, port: int, compiled: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAXFT_COORDINATOR": f"localhost:{port}",
        "JAXFT_PROCESSES": "2",
        "JAXFT_PROCESS": str(process),
        # The machine may be busy, and the processes ready at quite different times.
        "XLA_FLAGS": "--xla_cpu_collective_timeout_seconds=600",
        # Jobs and pairs compile the same programs; JAX lets process 0 alone keep them.
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "tests.jaxft.two_processes", json.dumps(jobs)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def pair(jobs: list[dict], compiled: Path) -> tuple[list[int], list[str]]:
    """(exit codes, what they said) of two processes that do the same jobs."""
    port = free_port()
    both = [start(jobs, process, port, compiled) for process in range(2)]
    try:
        said = [process.communicate(timeout=1200)[1] for process in both]
    finally:
        for process in both:
            process.kill()
            process.communicate()
    return [process.returncode for process in both], said


def arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[name] for name in file.files]


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def saved(folder: Path) -> list[str]:
    """Names of the finished checkpoints."""
    return [path.name for path in (folder / "checkpoints").iterdir() if path.name.isdigit()]


def assert_same(found: list, wanted: list) -> None:
    assert len(found) == len(wanted) > 0
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def assert_close(found: list, wanted: list) -> None:
    assert len(found) == len(wanted) > 0
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def stopped_alone(folder: Path, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> None:
    """Train in this process until SIGTERM comes in step 3."""
    add = two_processes.Metrics.add

    def add_and_stop(self: Any, number: int, metrics: Any) -> None:
        add(self, number, metrics)
        if number == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(two_processes.Metrics, "add", add_and_stop)
        with pytest.raises(Preempted, match="stopped by SIGTERM after step 3 of .*, saved; the same command continues"):
            run(folder=str(folder), **arguments)
    assert saved(folder) == ["3"]


def run_and_copy(folder: Path, copy: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trained arrays of a long run of this process; `copy` is its folder as it was at a step after a save."""
    add = two_processes.Metrics.add

    def add_and_copy(self: Any, number: int, metrics: Any) -> None:
        if number == step:
            while not saved(folder):  # written while training goes on
                time.sleep(0.01)
            shutil.copytree(folder, copy)
        add(self, number, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(two_processes.Metrics, "add", add_and_copy)
        return run(folder=str(folder), **LONG)


@pytest.mark.slow  # three pairs of processes, each of which starts JAX and compiles
def test_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal to one process; SIGTERM to one of them; kill -9 in the middle of a save; from 1 to 2 and from 2 to 1."""
    path = {name: str(tmp_path / name) for name in ("both", "grown", "stopped", "killed")}
    compiled = tmp_path / "compiled"
    wanted = run_and_copy(tmp_path / "one", tmp_path / "grown", 7, monkeypatch)
    assert saved(tmp_path / "grown") == ["5"]

    # First pair: equal to one process, on from the checkpoint of one process, and stopped by SIGTERM to the second.
    codes, said = pair(
        [
            {**LONG, "folder": path["both"], "result": path["both"] + ".npz"},
            {"method": "projection", "result": path["both"] + "_projection.npz"},
            {**LONG, "folder": path["grown"], "result": path["grown"] + ".npz"},
            {**LONG, "folder": path["stopped"], "stop": 3},
        ],
        compiled,
    )
    assert codes == [EXIT_CODE, EXIT_CODE], said
    whole = arrays(tmp_path / "both.npz")
    assert_close(whole, wanted)
    for mine, theirs in zip(lines(tmp_path / "both"), lines(tmp_path / "one"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5 if mine["step"] <= 4 else 1e-3)
    assert_close(arrays(tmp_path / "both_projection.npz"), run("projection"))
    assert_close(arrays(tmp_path / "grown.npz"), wanted)
    assert "step 4/4" in said[0] and "step 4/4" not in said[1]  # the leader alone tells
    [step] = saved(tmp_path / "stopped")
    assert all(f"stopped by SIGTERM after step {step} of 20, saved" in text for text in said)
    assert 3 <= int(step) < 20
    shutil.copytree(path["stopped"], tmp_path / "shrunk")

    # Second pair: on from there, bit for bit; then the second one dies while both save step 10.
    codes, said = pair(
        [
            {**LONG, "folder": path["stopped"], "result": path["stopped"] + ".npz"},
            {**LONG, "folder": path["killed"], "die": 10},
        ],
        compiled,
    )
    assert codes[1] == -signal.SIGKILL and codes[0] not in (0, EXIT_CODE), said
    assert_same(arrays(tmp_path / "stopped.npz"), whole)
    assert [line["step"] for line in lines(tmp_path / "stopped")] == list(range(1, 21))
    assert saved(tmp_path / "killed") == ["5"]

    # Third pair: on from the last complete checkpoint, bit for bit.
    codes, said = pair([{**LONG, "folder": path["killed"], "result": path["killed"] + ".npz"}], compiled)
    assert codes == [0, 0], said
    assert_same(arrays(tmp_path / "killed.npz"), whole)

    # One process continues from two, on another mesh besides.
    assert_close(run(folder=str(tmp_path / "shrunk"), preset="fsdp_tensor", **LONG), whole)


def test_sigterm_to_one_process_is_bit_for_bit_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopped_alone(tmp_path / "stopped", monkeypatch, preset="single")
    assert signal.getsignal(signal.SIGTERM) is before
    whole = run(preset="single", folder=str(tmp_path / "whole"))
    assert_same(run(preset="single", folder=str(tmp_path / "stopped")), whole)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("host:1", None, "0"), "JAXFT_COORDINATOR, JAXFT_PROCESS set without JAXFT_PROCESSES; set all of them"),
        (("host:1", "2", "2"), "JAXFT_PROCESS 2, JAXFT_PROCESSES 2: expected a number, counted from 0"),
        (("host:1", "two", "0"), "JAXFT_PROCESS 0, JAXFT_PROCESSES two: expected"),
        (("host", "2", "0"), "JAXFT_COORDINATOR 'host': expected host:port of process 0"),
    ],
)
def test_variables_that_name_no_cluster(
    monkeypatch: pytest.MonkeyPatch, values: tuple[str | None, ...], message: str
) -> None:
    for name, value in zip(distributed.VARIABLES, values, strict=True):
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        distributed.start()


def test_a_coordinator_that_does_not_come(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    address = f"localhost:{free_port()}"
    for name, value in zip(distributed.VARIABLES, (address, "2", "1"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "START_SECONDS", 0)
    with pytest.raises(UserError, match=f"JAXFT_COORDINATOR {address}: not reached within 0 s .*refused"):
        distributed.start()
    assert f"process 1: waiting for 2 processes at {address}" in capsys.readouterr().err


def test_one_host_starts_nothing() -> None:
    assert not distributed.start()
    assert distributed.is_leader()
    assert distributed.agreed(True) and not distributed.agreed(False)
    distributed.check_same({"config": {"a": 1}})
    np.testing.assert_array_equal(distributed.gather([1, 2]), np.array([1, 2]))

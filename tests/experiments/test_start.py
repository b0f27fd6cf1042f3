"""The start of the program: huge pages, quiet accelerators, ASCII terminals, closed pipes, an early Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from experiments import cli, start


class Replaced(Exception):
    """This process would be another program by now."""


@pytest.fixture
def replacement(monkeypatch) -> list:
    seen: list = []

    def execve(*call) -> None:
        seen.extend(call)
        raise Replaced

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(cli, "main", lambda: 7)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda how, signals: None)
    monkeypatch.setattr(start, "glob", lambda pattern: [])
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "orig_argv", ["python", "/bin/jaxft", "compare", "a b.py"])
    return seen


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.arena_max=2", "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"),
    ],
)
def test_the_same_program_starts_again_with_huge_pages(replacement, monkeypatch, before, after) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if before is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", before)
    with pytest.raises(Replaced):
        start.main()
    program, words, environment = replacement
    assert program == sys.executable and words == [sys.executable, "/bin/jaxft", "compare", "a b.py"]
    assert environment == {**os.environ, "GLIBC_TUNABLES": after}


def test_a_choice_of_the_users_stands(replacement, monkeypatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert start.main() == 7 and not replacement


def test_other_systems_have_no_such_setting(replacement, monkeypatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert start.main() == 7 and not replacement


@pytest.mark.parametrize(
    ("device", "chosen", "after"),
    [
        ("", None, "cpu"),
        ("", "", ""),
        ("", "tpu", "tpu"),
        ("/dev/nvidia0", None, None),
        ("/dev/accel0", None, None),
        ("/dev/vfio/0", None, None),
    ],
)
def test_without_an_accelerator_none_is_tried(replacement, monkeypatch, device, chosen, after) -> None:
    monkeypatch.setattr(start, "glob", lambda pattern: [device] * (device.startswith(pattern.partition("*")[0][:9])))
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS")
    if chosen is not None:
        monkeypatch.setenv("JAX_PLATFORMS", chosen)
    with pytest.raises(Replaced):
        start.main()
    assert replacement[2].get("JAX_PLATFORMS") == after


def begin(*words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE, **environment: str):
    """A real process of the program, which restarts itself."""
    inherited = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-m", "experiments.start", *words]
    return subprocess.Popen(command, env={**inherited, **environment}, stdout=stdout, stderr=stderr, text=True)


def test_a_real_process_ends_as_the_command_line_does() -> None:
    with begin("plan", "--nonsense") as process:
        assert process.communicate(timeout=60)[1].count("usage: jaxft") == 1 and process.returncode == 2


def test_ctrl_c_before_anything_is_imported() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process = begin("--help")  # which inherits the mask: the signal waits through both starts of Python
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "\njaxft: interrupted\n") and process.returncode == 130


@pytest.mark.parametrize(
    ("stream", "words", "unbuffered"),
    [
        ("stdout", ["--help"], ""),
        ("stdout", ["plan", "--help"], ""),
        ("stderr", ["data", "nowhere.py"], ""),
        ("stderr", ["data", "nowhere.py"], "1"),
    ],
)
def test_a_closed_pipe_ends_quietly(stream: str, words: list[str], unbuffered: str) -> None:
    end, closed = os.pipe()
    os.close(end)
    with begin(*words, PYTHONUNBUFFERED=unbuffered, **{stream: closed}) as process:
        os.close(closed)
        assert not any(process.communicate(timeout=120)) and process.returncode == 141


@pytest.mark.parametrize(
    ("encoding", "environment", "printed"),
    [
        ("ascii", {}, rb"0.5 +- 0.1 |dW|^2 \xe9 \u4e2d"),
        ("latin-1", {}, b"0.5 \xb1 0.1 |dW|\xb2 \xe9 \\u4e2d"),
        ("utf-8", {}, "0.5 ± 0.1 |dW|² é 中".encode()),
        ("utf-8", {"LANG": "C"}, rb"0.5 +- 0.1 |dW|^2 \xe9 \u4e2d"),
        ("utf-8", {"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, rb"0.5 +- 0.1 |dW|^2 \xe9 \u4e2d"),
        ("utf-8", {"LANG": "C", "PYTHONIOENCODING": "utf-8"}, "0.5 ± 0.1 |dW|² é 中".encode()),
    ],
)
def test_a_terminal_gets_what_it_can_print(replacement, monkeypatch, encoding, environment, printed) -> None:
    for name in ("LC_ALL", "LANG", "PYTHONIOENCODING", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"GLIBC_TUNABLES": start.TUNABLE, **environment}.items():
        monkeypatch.setenv(name, value)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(cli, "main", lambda: print("0.5 ± 0.1 |dW|² é 中", end="") or 0)
    assert start.main() == 0 and raw.getvalue() == printed


@pytest.mark.parametrize("platform", ["nonsense", "tpu", "cuda"])
def test_a_platform_that_is_not_here_is_one_error(platform: str) -> None:
    with begin("generate", "--prompt", "Hello", JAX_PLATFORMS=platform) as process:
        said = process.communicate(timeout=120)[1]
    first, second = said.splitlines()[-2:]
    assert process.returncode == 1 and "Traceback" not in said
    assert first.startswith(f"jaxft: JAX_PLATFORMS: found '{platform}', expected platforms that this machine has")
    assert second.startswith("JAX: ")

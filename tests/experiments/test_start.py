"""The program starts itself once more where memory would come in small pages, and once alone."""

from __future__ import annotations

import os
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


def test_a_real_process_ends_as_the_command_line_does() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-m", "experiments.start", "generate", "--nonsense"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and done.stderr.count("usage: jaxft") == 1

"""Lines of progress: none for a short loop, a count at once, the time left after the second item, and an end."""

from __future__ import annotations

import threading
import time

import pytest

from jaxft import progress
from jaxft.progress import about, format_seconds, tracked


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(progress, "SECONDS", 0.1)
    monkeypatch.setattr(progress.log, "info", found.append)
    return found


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.4, "59:59"), (3600, "1:00:00")]
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def wait(lines: list[str], wanted: str) -> None:
    deadline = time.monotonic() + 20
    while wanted not in "\n".join(lines):
        assert time.monotonic() < deadline, lines
        time.sleep(0.01)


def test_a_line_says_what_of_what_and_how_long_still(lines: list[str]) -> None:
    with about("base"), about("safety"):
        loop = tracked([1, 2, 3], "replies", 10, 4)
        assert next(loop) == 1
        wait(lines, "base  safety  replies 0/10")  # the first item compiles: one line, without a time
        time.sleep(0.3)
        assert lines == ["base  safety  replies 0/10"]
        assert next(loop) == 2
        wait(lines, "base  safety  replies 4/10")
        assert not any("left" in line for line in lines)
        assert next(loop) == 3
        wait(lines, "base  safety  replies 8/10  0:0")
        assert list(loop) == [] and lines[-1].endswith(" left")


def test_a_short_loop_says_nothing(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(progress.log, "info", lines.append)
    assert list(tracked(range(5), "replies", 5)) == [0, 1, 2, 3, 4] and lines == []


def test_nothing_is_said_after_a_loop_that_failed(lines: list[str]) -> None:
    with pytest.raises(ZeroDivisionError) as kept:
        for item in tracked([1, 0], "failing replies", 2):
            _ = 1 / item
    time.sleep(0.3)
    assert kept and lines == []
    assert "failing replies" not in [thread.name for thread in threading.enumerate()]

"""Progress of long loops, and the time they have left, on the logger "jaxft"; a short loop logs nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

log = logging.getLogger("jaxft")

T = TypeVar("T")
#: Seconds before the first line of a loop, and between two of its lines.
SECONDS = 10.0
_about: ContextVar[tuple[str, ...]] = ContextVar("about", default=())


def format_seconds(seconds: float) -> str:
    """h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def about(name: str) -> Iterator[None]:
    """A context in which lines of progress begin with `name`, after the names of the contexts around it."""
    token = _about.set((*_about.get(), name))
    try:
        yield
    finally:
        _about.reset(token)


def tracked(items: Iterable[T], what: str, total: int, step: int = 1) -> Iterator[T]:
    """The items. After SECONDS, a thread logs what is done, as "base  safety  replies 64/200  0:40 left".

    total: of what is counted; every item adds `step`. The first item, which compiles, is not in the time left.
    """
    times, ended = [time.perf_counter()], threading.Event()
    label = "  ".join((*_about.get(), what))

    def report() -> None:
        said = -1
        # Lines become rarer, or hours would fill the screen.
        while not ended.wait(max(SECONDS, (time.perf_counter() - times[0]) / 20)):
            count, at = len(times) - 1, times[-1]
            if count == said:
                continue
            said = count
            line = f"{label} {min(count * step, total)}/{total}"
            if count > 1:
                rate = (at - times[1]) / (count - 1)
                left = rate * (total / step - count) - (time.perf_counter() - at)
                line += f"  {format_seconds(max(left, 0.0))} left"
            log.info(line)

    threading.Thread(target=report, daemon=True, name=label).start()
    try:
        for item in items:
            yield item
            times.append(time.perf_counter())
    finally:
        ended.set()

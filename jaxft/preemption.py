"""SIGTERM, with which a machine says that it will be taken away: stop at a good place, with an exit code of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: EX_TEMPFAIL of sysexits.h: the same command goes on later.
EXIT_CODE = 75


class Preempted(BaseException):
    """The program was told to stop by SIGTERM. No Exception, as KeyboardInterrupt is none: nothing went wrong."""


@contextmanager
def as_exception() -> Iterator[None]:
    """Within it, SIGTERM raises Preempted wherever the program is, as Ctrl-C raises KeyboardInterrupt."""

    def stop(*_: Any) -> None:
        raise Preempted("stopped by SIGTERM; what is complete on disk stays, and the same command goes on from there")

    with _handler(stop):
        yield


@contextmanager
def as_flag() -> Iterator[Callable[[], bool]]:
    """Within it, SIGTERM only makes the function that it gives return True.

    A signal that nobody asked for until the end is handed on to the handler that was there before.
    """
    came = asked = False

    def note(*_: Any) -> None:
        nonlocal came
        came = True

    def noted() -> bool:
        nonlocal asked
        asked = came
        return came

    with _handler(note):
        yield noted
    if came and not asked:
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def _handler(handler: Callable[..., None]) -> Iterator[None]:
    """Handle SIGTERM so, then as before. Python allows it in the main thread alone; elsewhere nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)

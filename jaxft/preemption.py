"""Handling of SIGTERM, which a machine sends before it is taken away: stop at a safe point, with its own exit code."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: EX_TEMPFAIL of sysexits.h: the same command can resume later.
EXIT_CODE = 75


class Preempted(BaseException):
    """Raised after SIGTERM. A BaseException, like KeyboardInterrupt, because nothing went wrong."""


@contextmanager
def as_exception() -> Iterator[None]:
    """A context in which SIGTERM raises Preempted at once, as Ctrl-C raises KeyboardInterrupt."""

    def stop(*_: Any) -> None:
        raise Preempted("stopped by SIGTERM; what is complete on disk stays, and the same command continues from there")

    with _handler(stop):
        yield


@contextmanager
def as_flag() -> Iterator[Callable[[], bool]]:
    """A context that yields a function; after SIGTERM the function returns True, and nothing else happens.

    If the function was not called after the signal, the earlier handler gets the signal at the end of the context.
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
    """A context in which `handler` handles SIGTERM; no effect outside the main thread, where Python forbids it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)

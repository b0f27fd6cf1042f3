"""SIGTERM as an exception and as a flag, and what was there before it."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from jaxft.preemption import Preempted, as_exception, as_flag


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def handler_stays():
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) is before


def test_as_exception() -> None:
    with pytest.raises(Preempted, match="stopped by SIGTERM; what is complete"), as_exception():
        terminate()
    assert not issubclass(Preempted, Exception)  # `except Exception` must not take it for an error


def test_as_flag() -> None:
    with as_exception(), as_flag() as told_to_stop:
        assert not told_to_stop()
        terminate()
        assert told_to_stop() and told_to_stop()


def test_a_signal_after_the_last_question_is_handed_on() -> None:
    done = False
    with pytest.raises(Preempted), as_exception():
        with as_flag() as told_to_stop:
            assert not told_to_stop()
            terminate()
            done = True
    assert done


def test_another_error_goes_first() -> None:
    with pytest.raises(ZeroDivisionError), as_exception(), as_flag():
        terminate()
        raise ZeroDivisionError


def test_other_threads_change_nothing() -> None:
    found = []

    def look() -> None:
        with as_flag() as told_to_stop:
            found.append((signal.getsignal(signal.SIGTERM), told_to_stop()))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [(signal.getsignal(signal.SIGTERM), False)]

"""Progress on standard error: all of jaxft logs it to the logger "jaxft", and a command shows it."""

from __future__ import annotations

import logging
import sys

from jaxft.distributed import is_leader


class _Progress(logging.Handler):
    """Prints messages as they are, from the leader alone."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_leader():
            print(record.getMessage(), file=sys.stderr, flush=True)


def show_progress() -> None:
    """Print what is logged to "jaxft" on standard error, beside the results on standard output."""
    log = logging.getLogger("jaxft")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not any(isinstance(handler, _Progress) for handler in log.handlers):
        log.addHandler(_Progress())

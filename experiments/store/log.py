"""Progress on standard error: all modules log to the logger "jaxft", and a command prints its messages."""

import logging
import sys

from jaxft.distributed import is_leader


class _Progress(logging.Handler):
    """A handler that prints messages without a prefix, only in the leader."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_leader():
            print(record.getMessage(), file=sys.stderr, flush=True)


def show_progress() -> None:
    """Print the messages of the logger "jaxft" on standard error; results go to standard output."""
    log = logging.getLogger("jaxft")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not any(isinstance(handler, _Progress) for handler in log.handlers):
        log.addHandler(_Progress())

"""Requests, answers and payments, in one file of JSON lines that survives a crash at any moment.

A line is written before a request is sent, and another when its outcome is known. Each is on disk before it counts:
{"sent": n, "request": hash, "most": US dollars}, then {"answered": n, "cost": US dollars, "answer": {...}} or {"free":
n} if the server certainly charged nothing. A request without an outcome may have been paid for: it counts with its
highest cost.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.store.cache import locked
from jaxft.errors import UserError
from jaxft.io import cannot_write, finished_lines


class Ledger:
    """The file and its totals. One process writes at a time, within `locked`; any process may read."""

    def __init__(self, path: Path) -> None:
        """Read the file if it exists. UserError if it cannot be read."""
        self.path = path
        self._file: int | None = None
        self._read(finished_lines(path))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let only this process write, after it has read what others wrote. UserError if another one is writing."""
        with locked(self.path, wait=False):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                self._read(finished_lines(self.path, mend=True))
                yield
            finally:
                os.close(self._file)
                self._file = None

    def send(self, request: str, most: float) -> int:
        """Record that `request`, a hash, is sent and costs at most `most` US dollars; returns the sending's number."""
        self.requests += 1
        self._append({"sent": self.requests, "request": request, "most": most})
        return self.requests

    def answer(self, sending: int, cost: float, answer: Mapping[str, Any]) -> None:
        """Record an answer and its cost in US dollars. An answer that is delivered again is not counted again."""
        if sending in self._open:
            self._append({"answered": sending, "cost": cost, "answer": dict(answer)})

    def free(self, sending: int) -> None:
        """Record that the server refused and charged nothing."""
        self._append({"free": sending})

    @property
    def possible(self) -> float:
        """The highest cost in US dollars of requests whose outcome is unknown: under way, or lost."""
        return sum(most for _, most in self._open.values())

    def _append(self, line: dict[str, Any]) -> None:
        assert self._file is not None, "written only within `locked`"
        content = (json.dumps(line) + "\n").encode()
        end = os.fstat(self._file).st_size
        try:
            if os.write(self._file, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, end)  # no part of a line stays in front of the next one
            raise cannot_write(self.path, error) from error
        self._take(line)

    def _read(self, lines: list[bytes]) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.requests = 0  # sent, every attempt
        self.paid = 0.0  # US dollars
        self._open: dict[int, tuple[str, float]] = {}
        for n, line in enumerate(lines, 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{self.path}, line {n}: found {line[:40]!r}, expected a JSON object as jaxft writes them.\n"
                    "The file says what was paid for: restore it, or choose another folder to begin anew."
                ) from error

    def _take(self, line: dict[str, Any]) -> None:
        match line:
            case {"sent": number, "request": request, "most": most}:
                self.requests = max(self.requests, number)
                self._open[number] = (request, most)
            case {"answered": number, "cost": cost, "answer": answer}:
                if number in self._open:
                    request, _ = self._open.pop(number)
                    self.paid += cost
                    self.answers.setdefault(request, answer)
            case {"free": number}:
                self._open.pop(number, None)
            case _:
                raise ValueError("no line of a ledger")

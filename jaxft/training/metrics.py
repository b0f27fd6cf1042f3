"""Metrics of a run: JSON lines on disk, a progress line on the screen, and a stop at the first NaN or Inf."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxft import distributed
from jaxft.errors import UserError
from jaxft.io import finished_lines
from jaxft.progress import format_seconds
from jaxft.training.trackers import Line, Tracker

log = logging.getLogger("jaxft")

#: Measures of a run's speed, without its first step, which compiles.
TIMINGS = ("train_seconds", "tokens_per_second", "step_milliseconds")


class NonFiniteError(UserError):
    """A metric became NaN or infinite."""


class Metrics:
    """The metrics of every step; only a flush reads them from the device and writes them to metrics.jsonl.

    On resumption, lines of steps that will run again are dropped; they are equal, and the tracker gets each step once.
    The leader alone writes and prints.
    """

    def __init__(self, path: Path | None, label: str, steps: int, start: int, tracker: Tracker | None = None) -> None:
        self.leads = distributed.is_leader()
        self.path, self.label, self.steps = path if self.leads else None, label, steps
        self.done = self._tracked = start
        self.tracker = tracker
        self.tokens = 0
        self.began = self.first = None
        self._pending: list[tuple[int, Mapping[str, Any]]] = []
        if self.path is not None:
            lines = finished_lines(self.path, mend=True)
            kept = [line for line in lines if json.loads(line)["step"] <= start]
            self._tracked = max([start, *(json.loads(line)["step"] for line in lines[-1:])])
            if kept != lines:
                self.path.write_bytes(b"".join(line + b"\n" for line in kept))

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Keep one step's metrics until the next flush."""
        self._pending.append((step, metrics))
        if self.first is None:
            float(metrics["loss"])  # waits for the first step, which compiles; speed is measured from its end
            self.began, self.first = time.perf_counter(), step

    def flush(self) -> None:
        """Write the pending lines; NonFiniteError at the first step with a NaN or Inf."""
        lines: list[Line] = []
        for step, metrics in self._pending:
            values = {name: float(value) for name, value in metrics.items()}
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            lines.append((step, values))
            if bad:
                self._write(lines)
                raise NonFiniteError(
                    f"{self.label}: {bad[0]} is {values[bad[0]]} at step {step}; training stopped, the last good "
                    "checkpoint is kept. Lower the learning rate, or look at the data of that step"
                )
            if step != self.first:
                self.tokens += int(values["tokens"])
            self.done = step
        self._write(lines)
        if self._pending and self.leads:
            self._report(float(self._pending[-1][1]["loss"]))
        self._pending = []

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context whose time does not count as training; the metrics of earlier steps are flushed first."""
        self.flush()
        began = time.perf_counter()
        yield
        if self.began is not None:
            self.began += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        """Seconds since the end of the first step, without pauses."""
        return 0.0 if self.began is None else time.perf_counter() - self.began

    @property
    def timings(self) -> dict[str, float]:
        """The values of TIMINGS by name."""
        steps = max(self.done - (self.first or 0), 1)
        seconds = max(self.seconds, 1e-9)
        return dict(zip(TIMINGS, (seconds, self.tokens / seconds, 1000 * seconds / steps), strict=True))

    def close(self) -> None:
        """End the tracker's run."""
        if self.tracker is not None:
            self.tracker.close()

    def _write(self, lines: list[Line]) -> None:
        if self.path is not None and lines:
            with self.path.open("a") as file:
                file.write("".join(json.dumps({"step": step, **values}) + "\n" for step, values in lines))
        if self.tracker is not None:
            self.tracker.log([(step, values) for step, values in lines if step > self._tracked])

    def _report(self, loss: float) -> None:
        timings = self.timings
        left = (self.steps - self.done) * timings["step_milliseconds"] / 1000
        speed = f"{timings['tokens_per_second']:,.0f} tokens/s" if self.tokens else "compiled"
        step = f"step {self.done}/{self.steps}"
        log.info(f"{self.label}  {step}  loss {loss:.4f}  {speed}  {format_seconds(left)} left")

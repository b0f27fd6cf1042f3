"""Trackers: packages that draw the metrics of runs. They get the lines of metrics.jsonl, and never stop a run.

Each is configured by its own environment variables, as WANDB_MODE or MLFLOW_TRACKING_URI, and writes to the folder of
the run if these name no server; trackio, which has one folder a process, writes to TRACKIO_DIR.
"""

import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from jaxft.distributed import agreed, is_leader
from jaxft.errors import UserError

log = logging.getLogger("jaxft")

Name = Literal["tensorboard", "wandb", "mlflow", "trackio"]
#: A step, and its metrics by name.
Line = tuple[int, Mapping[str, float]]
#: Functions that log some lines, and end the run.
Opened = tuple[Callable[[Sequence[Line]], object], Callable[[], object]]
PROJECT = "jaxft"


def check_installed(tracker: Name | None, key: str) -> None:
    """UserError if the leader lacks the package of a tracker. key: the tracker's place in a config."""
    if tracker is not None and not agreed(find_spec(tracker) is not None):
        raise UserError(f"{key}: the package {tracker} is not installed.\nInstall it: pip install {tracker}")


@dataclass
class Tracker:
    """The tracker of one run, begun by its first line. After a failure, of which one warning tells, it gets no more."""

    name: Name
    folder: Path
    label: str
    settings: Mapping[str, Any]  # what it shows about the run
    opened: Opened | None = None
    failed: bool = False

    def log(self, lines: Sequence[Line]) -> None:
        """Give the tracker some steps, in order."""
        with self._harmless():
            if lines and not self.failed:
                self.opened = self.opened or self._open()
                self.opened[0](lines)

    def close(self) -> None:
        """End the run."""
        with self._harmless():
            if self.opened is not None and not self.failed:
                self.opened[1]()

    def _open(self) -> Opened:
        home = self.folder / self.name
        home.mkdir(exist_ok=True)
        return OPEN[self.name](home, self.label, {**self.settings, "folder": str(self.folder)})

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            with redirect_stdout(sys.stderr):
                yield
        except Exception as error:
            self.failed = True
            log.warning(f"{self.label}: {self.name} failed and gets no more metrics; training goes on ({error!r})")


def tracker_of(name: Name | None, folder: Path | None, label: str, settings: Mapping[str, Any]) -> Tracker | None:
    """The tracker of a run in `folder`; None without a name or a folder, and in processes other than the leader.

    All processes call this; UserError if the package is missing.
    """
    check_installed(name, "tracker")
    return Tracker(name, folder, label, settings) if name and folder and is_leader() else None


def _run(home: Path, new: Callable[[], str] = lambda: uuid.uuid4().hex) -> str:
    """The run's id in the tracker, which a resumed run finds again."""
    path = home / "run"
    if not path.exists():
        path.write_text(new())
    return path.read_text()


def _tensorboard(home: Path, label: str, settings: Mapping[str, Any]) -> Opened:
    from tensorboard.summary import Writer

    writer = Writer(str(home))

    def write(lines: Sequence[Line]) -> None:
        for step, values in lines:
            for name, value in values.items():
                writer.add_scalar(name, value, step)
        writer.flush()

    return write, writer.close


def _wandb(home: Path, label: str, settings: Mapping[str, Any]) -> Opened:
    import wandb

    project = os.environ.get("WANDB_PROJECT", PROJECT)
    run = wandb.init(project=project, name=label, id=_run(home), resume="allow", dir=home.parent, config=dict(settings))
    return lambda lines: [run.log(dict(values), step=step) for step, values in lines], run.finish


def _mlflow(home: Path, label: str, settings: Mapping[str, Any]) -> Opened:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.utils.time import get_current_time_millis as now

    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}")

    def begin() -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = client.get_experiment_by_name(name)
        run = client.create_run(found.experiment_id if found else client.create_experiment(name), run_name=label)
        client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in settings.items()])
        return run.info.run_id

    run = _run(home, begin)

    def write(lines: Sequence[Line]) -> None:
        metrics = [Metric(name, value, now(), step) for step, values in lines for name, value in values.items()]
        for start in range(0, len(metrics), 1000):  # a server takes no more at once
            client.log_batch(run, metrics[start : start + 1000])

    return write, lambda: client.set_terminated(run)


def _trackio(home: Path, label: str, settings: Mapping[str, Any]) -> Opened:
    import trackio

    name = f"{label} {_run(home)[:8]}"  # trackio tells runs apart by name
    run = trackio.init(PROJECT, name, resume="allow", config=dict(settings), embed=False)
    return lambda lines: [run.log(dict(values), step=step) for step, values in lines], run.finish


OPEN: dict[Name, Callable[[Path, str, Mapping[str, Any]], Opened]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}

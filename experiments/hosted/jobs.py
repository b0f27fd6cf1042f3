"""What a provider of fine-tuning has to offer; one file each for those that do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class Order:
    """A fine-tuning job: `model` names the base; `learning_rate` is in the provider's own unit."""

    model: str
    epochs: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Status:
    """Where a job stands: `stage` in the provider's word, seconds left if it says so.

    model: the result's name once there is one.  problem: else, why there will be none.
    """

    stage: str
    seconds_left: float | None = None
    model: str = ""
    problem: str = ""


#: The problem of a job that is done and leaves no name to ask for.
NAMELESS = "the provider names no model"


class Jobs(Protocol):
    """One account at one provider. Everything but `create` may be repeated without harm."""

    #: What its client raises; those with a `status_code` are the provider's own answers.
    errors: ClassVar[tuple[type[Exception], ...]]

    def upload(self, file: Path) -> str:
        """Send a file of JSON lines; its id. UserError where the provider finds it wrong."""
        ...

    def create(self, file: str, suffix: str, order: Order) -> str:
        """Begin a job under a suffix that no other has, sent once; its id."""
        ...

    def find(self, suffix: str) -> str | None:
        """The id of the job with this suffix, if there is one."""
        ...

    def status(self, job: str) -> Status: ...

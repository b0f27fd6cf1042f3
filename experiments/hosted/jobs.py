"""The interface to a provider of fine-tuning; one file each implements it."""

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
    """The state of a job: `stage` in the provider's word, and the seconds left if the provider reports them.

    model: the name of the result when there is one. problem: the reason if there will be none.
    """

    stage: str
    seconds_left: float | None = None
    model: str = ""
    problem: str = ""


#: The problem of a job that is done and leaves no name to ask for.
NAMELESS = "the provider names no model"


class Jobs(Protocol):
    """One account at one provider. Every call but `create` may be repeated without harm."""

    #: What its client raises; those with a `status_code` are the provider's own answers.
    errors: ClassVar[tuple[type[Exception], ...]]

    def upload(self, file: Path) -> str:
        """Send a file of JSON lines; returns its id. UserError if the provider rejects it."""
        ...

    def create(self, file: str, suffix: str, order: Order) -> str:
        """Begin a job under a unique suffix; sent once, never repeated. Returns its id."""
        ...

    def find(self, suffix: str) -> str | None:
        """The id of the job with this suffix, or None."""
        ...

    def status(self, job: str) -> Status: ...

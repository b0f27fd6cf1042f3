"""Looking at the weights while they are trained: what the training loop asks, whatever is measured."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Seen(NamedTuple):
    """What follows from all looks so far."""

    best: int | None  # the step whose weights are the best yet; None before the first look
    stop: bool  # whether training ends here


class Watch(Protocol):
    """Looks at what is trained after some of the steps. Of several processes all call every method together.

    The answers follow from the looks alone, so that a run that was killed and resumed gets those of an uninterrupted
    one.
    """

    @property
    def keeps(self) -> bool:
        """Whether training leaves the best weights, else the last ones."""
        ...

    def due(self, step: int) -> bool:
        """Whether `look` is to be called after this step; never for 0, always for the last one."""
        ...

    def resume(self, step: int, trainable: Any) -> Seen:
        """Training goes on after `step`: looks at later steps are forgotten, one that is due and missing is made up."""
        ...

    def look(self, step: int, trainable: Any) -> Seen:
        """Measure the weights after `step`; the next step reuses their memory, so nothing may hold them on return."""
        ...

"""The interface of the training loop to measurements of the weights on the way."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Seen(NamedTuple):
    """The decision that follows from all measurements so far."""

    best: int | None  # the step whose weights are the best so far; None before the first measurement
    stop: bool  # whether training ends here


class Watch(Protocol):
    """Measures the trained weights after some of the steps. Of several processes all call every method together.

    The answers depend on the measurements alone, so that a killed and resumed run gets those of an uninterrupted one.
    """

    @property
    def keeps(self) -> bool:
        """Whether training returns the best weights, or the last ones."""
        ...

    def due(self, step: int) -> bool:
        """Whether `look` is to be called after this step; never for 0, always for the last one."""
        ...

    def resume(self, step: int, trainable: Any) -> Seen:
        """Continue after `step`: forget measurements of later steps, and make one that is due and missing."""
        ...

    def look(self, step: int, trainable: Any) -> Seen:
        """Measure the weights after `step`; the next step reuses their memory, so do not keep them."""
        ...

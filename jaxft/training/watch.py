"""The interface between the training loop and measurements of the weights during training."""

from typing import Any, NamedTuple, Protocol


class Seen(NamedTuple):
    """The decision that follows from all measurements so far."""

    best: int | None  # the step whose weights are the best so far; None before the first measurement
    stop: bool  # True: training ends here


class Watch(Protocol):
    """Measures the trained weights after some of the steps. All processes call every method together.

    The answers depend on the measurements alone, so that a resumed run gets the same ones as an uninterrupted run.
    """

    @property
    def keeps(self) -> bool:
        """True if training returns the best weights; False: the last ones."""
        ...

    def due(self, step: int) -> bool:
        """True if `look` must be called after this step; never for step 0, always for the last one."""
        ...

    def resume(self, step: int, trainable: Any) -> Seen:
        """Continue after `step`: forget measurements of later steps, and make one that is due and missing."""
        ...

    def look(self, step: int, trainable: Any) -> Seen:
        """Measure the weights after `step`; the next step reuses their memory, so do not keep them."""
        ...

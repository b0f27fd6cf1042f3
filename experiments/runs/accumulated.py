"""Moments of the reference text and of all domains learnt since, combined, to protect them from the next domain."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.base_model import Base
from experiments.config import Experiment
from experiments.runs.calibrate import Calibration, two_sided
from experiments.store.cache import cached_path
from jaxft import distributed
from jaxft.subspace.moments import LayerMoments, MomentFiles


class Accumulated(Calibration):
    """The moments of several calibrations in one. Each text counts as one token, whatever its length.

    Moments of inputs are summed, those of output gradients averaged. Their Kronecker product is then the K-FAC form of
    the sum of all texts' KLs, so the protection of a text does not weaken as others are added. Each text was measured
    with the model that had just learnt it, so no text is read again. The first calibration is that of the reference
    text, on which drift is measured.
    """

    def __init__(self, experiment: Experiment, base: Base, folder: Path, parts: Sequence[Calibration]) -> None:
        first = parts[0]
        self.base, self.reference, self.text, self.written = base, first.reference, first.text, first.written
        self.two_sided, self.parts = two_sided(experiment), tuple(parts)
        self.description = {
            "model": base.sha256,
            "parts": [part.description for part in parts],
            "two_sided": self.two_sided,
        }
        self.files = MomentFiles(cached_path(folder, self.description))

    def _stream(self) -> tuple[Iterable[tuple[int, LayerMoments]], int]:
        for part in self.parts:
            part.measure()
        tokens = sum(part.files.description["tokens"] for part in self.parts)
        return self._layers() if distributed.is_leader() else (), tokens

    def _layers(self) -> Iterator[tuple[int, LayerMoments]]:
        for index in range(len(self.parts[0].files)):
            layers = [part.files.read(index) for part in self.parts]
            yield (
                index,
                LayerMoments(
                    inputs=_merged(np.sum, [layer.inputs for layer in layers]),
                    heldout=_merged(np.sum, [layer.heldout for layer in layers]),
                    outputs=_merged(np.mean, [layer.outputs for layer in layers]) if self.two_sided else {},
                ),
            )


def _merged(how: Callable[..., np.ndarray], named: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of each name, combined by `how` over a new first dimension."""
    return {name: how([one[name] for one in named], axis=0) for name in named[0]}

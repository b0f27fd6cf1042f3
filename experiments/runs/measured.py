"""The measurements of a fine-tuned model next to its base; finished ones are read back, not redone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from experiments.config import Tuned
from experiments.evaluation.evaluate import measure_axes
from experiments.evaluation.scores import Scores, cached_scores
from experiments.runs.certify import certify_model, delta_norm, describe_movement, kernel_changes
from experiments.runs.tuned import load_tuned
from experiments.runs.workspace import Workspace
from experiments.store.cache import cached_json
from experiments.store.record.certificate import Certificate
from experiments.store.record.codec import from_json
from experiments.store.record.codec import to_json as encode
from experiments.store.record.method import NOT_TIMED, RunResult
from jaxft.llama.model import Adapters, Llama
from jaxft.methods import Method
from jaxft.methods.adapters import merge
from jaxft.progress import about


@dataclass(frozen=True)
class Measured:
    """A row of a comparison whose weights are here. Subclasses give `folder`, `assembled` and `_result`."""

    work: Workspace
    name: str

    @property
    def folder(self) -> Path:
        """The folder of the measurements."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name in lines of progress."""
        return self.name

    @property
    def assembled(self) -> tuple[Llama, Adapters | None]:
        """The model that is measured: parameters and adapters."""
        raise NotImplementedError

    @property
    def base_scores(self) -> dict[str, Scores]:
        return self.work.base_scores

    def scores(self, *, validation: bool) -> dict[str, Scores]:
        """The scores of every axis on validation or test examples."""
        path, work = self.folder / ("validation.json" if validation else "test.json"), self.work

        def measure() -> dict[str, Scores]:
            evaluation, assembled = work.experiment.evaluation, self.assembled
            with about(self.label):
                return measure_axes(work.base, *assembled, evaluation, work.judge, validation=validation)

        return cached_scores(path, measure)

    def merged(self) -> Llama:
        """The fine-tuned model with its adapters in its weights."""
        return merge(*self.assembled)

    @property
    def delta_norm(self) -> float:
        """Frobenius norm of dW over all linears, stored in a file that stays when the weights are deleted."""
        path = self.folder / "delta_norm.json"
        return cached_json(path, lambda: delta_norm(self.work.base.model, self.merged()))

    def result(self) -> RunResult:
        """All results except the scores."""
        path = self.folder / "result.json"
        return from_json(RunResult, cached_json(path, lambda: encode(self._result())), str(path))

    def _result(self) -> RunResult:
        raise NotImplementedError

    def _certificate(self, method: Method | None, exported: Path | None) -> Certificate | None:
        """The certificates of the model and of its export; None without reference text. Without a method that has bases
        of its own, the leak is into the reference's."""
        work = self.work
        if work.experiment.reference is None:
            return None
        merged, (_, adapters) = self.merged(), self.assembled
        if adapters is None:
            changes = kernel_changes(work.base.model, merged)
        else:  # without the rounding of the sum
            changes = {name: adapter.delta() for name, adapter in adapters.items()}
        return replace(
            certify_model(work, method, merged, changes=changes),
            movement=describe_movement(work, changes),
            exported=certify_model(work, method, work.base.reload(exported)) if exported else None,
        )


@dataclass(frozen=True)
class TunedRun(Measured):
    """A fine-tune that another trainer made. It has no learning rate and no seed of ours."""

    settings: Tuned

    learning_rate: ClassVar[None] = None
    seed: ClassVar[None] = None

    @property
    def folder(self) -> Path:
        return self.work.out / self.name

    @cached_property
    def assembled(self) -> tuple[Llama, Adapters | None]:
        return load_tuned(self.settings, self.work.base)

    def _result(self) -> RunResult:
        return RunResult(
            delta_norm=self.delta_norm,
            certificate=self._certificate(None, None),
            reference=None,
            timings=NOT_TIMED,
            trained_parameters=None,
        )

"""An experiment with its output folder and what all of its runs share; each part is made when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import judges, watch
from experiments.accumulated import Accumulated
from experiments.calibrate import Calibration
from experiments.data import contamination
from experiments.evaluate import Scores, measure_axes
from experiments.generated import reference_sources, turns
from experiments.judges import Judge
from experiments.provenance import data_hashes, read_json, write_json
from experiments.scores import cached_scores, means
from experiments.setup import Base, load_examples, training_rows
from experiments.tasks import RUBRICS
from jaxft import methods
from jaxft.config import Evaluation, Experiment, GradientProjection, Method, Mix
from jaxft.data.batches import batches
from jaxft.data.packing import Rows
from jaxft.data.sources import fingerprint
from jaxft.distributed import agreed, whole
from jaxft.method_config import Protecting
from jaxft.methods.base import Given
from jaxft.sharding import put_rows
from jaxft.subspace.basis import Basis
from jaxft.training.step import loss_sum

#: Batches of the domain whose gradient decides how much plasticity energy "auto" leaves.
GRADIENT_BATCHES = 8


@dataclass(frozen=True)
class Workspace:
    """An experiment with its output folder and what all of its runs share."""

    experiment: Experiment
    out: Path
    earlier: tuple[Calibration, ...] = ()  # of the reference text, then of the domains that the base has learnt already

    def run_folder(self, name: str, learning_rate: float, seed: int) -> Path:
        """Where all of one training run of a method lies, whoever trains."""
        return self.out / name / f"lr_{learning_rate:g}" / f"seed_{seed}"

    @cached_property
    def base(self) -> Base:
        return Base(self.experiment.model)

    @cached_property
    def rows(self) -> Rows:
        """The domain, packed for training."""
        return self.rows_of(None)

    def rows_of(self, mix: Mix | None) -> Rows:
        """What is trained on: the domain, and among it what a method mixes in."""
        return training_rows(self.experiment, self.base, mix)

    def reference_rows(self, method: methods.Method) -> Rows | None:
        """The reference text, packed as training text is, for methods that read it in every step."""
        if not method.reads_reference:
            return None
        return self.base.pack(self.calibration.text.fit, self.experiment.training.row_length, "split")

    def given(self, settings: Method) -> Given:
        """What a method reads beside the base and the domain."""
        needs = methods.build(settings).needs
        if not needs:
            return Given()
        bases = self.bases(settings) if isinstance(settings, Protecting) else {}
        return self.calibration.given(needs, bases)

    @cached_property
    def calibration(self) -> Calibration:
        folder = self.out / "calibration"
        if self.earlier:
            return Accumulated(self.experiment, self.base, folder, self.earlier)
        return Calibration(self.experiment, self.base, folder)

    @cached_property
    def judge(self) -> Judge | None:
        """Who decides on judged axes; None where there are none. Verdicts are kept in the output folder."""
        judged = any(axis.task in RUBRICS for axis in self.experiment.evaluation.axes.values())
        return judges.build(self.experiment.judge, self.out / "judge") if judged else None

    @cached_property
    def domain_sha256(self) -> str:
        return fingerprint(load_examples(self.experiment.domain))

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Hashes of everything that is read: results in the folder hold for these alone."""
        experiment = self.experiment
        sources = [*experiment.domain, *(reference_sources(experiment.reference) if experiment.reference else ())]
        sources += [source for axis in experiment.evaluation.axes.values() for source in (axis.source, axis.validation)]
        return {
            "model": self.base.sha256,
            "tokenizer": self.base.tokenizer_sha256,
            "data": data_hashes(sources),
        }

    @cached_property
    def contamination(self) -> dict[str, Any]:
        """Copies of test examples in the text that is trained on and in the reference text."""
        path = self.out / "contamination.json"
        if not agreed(path.is_file()):
            reference = self.experiment.reference
            written = self.calibration.written if reference is not None and reference.generated else []
            texts = [one for part in written for text in part for one in turns(text, self.base.tokenizer)]
            write_json(path, contamination(self.experiment, written=texts))
        return read_json(path)

    @property
    def dry_run(self) -> Path:
        """What hosted systems would be sent, for the user to look at; never read again."""
        return self.out / "dry_run"

    @cached_property
    def heldout_moments(self) -> dict[str, np.ndarray]:
        return self.calibration.heldout_moments()

    @cached_property
    def base_scores(self) -> dict[str, Scores]:
        """Every axis of the base, on test examples."""
        return cached_scores(
            self.out / "base_test.json",
            lambda: measure_axes(
                self.base, self.base.model, None, self.experiment.evaluation, self.judge, validation=False
            ),
        )

    @cached_property
    def watched(self) -> Evaluation:
        """What is evaluated while training: every axis, on a part of its validation examples."""
        return watch.subset(self.experiment.evaluation)

    @cached_property
    def watched_base(self) -> dict[str, float | None]:
        """The base's means in the evaluation while training."""
        path = self.out / "base_watch.json"
        return means(
            cached_scores(
                path,
                lambda: measure_axes(self.base, self.base.model, None, self.watched, self.judge, validation=True),
            )
        )

    def bases(self, settings: Protecting) -> dict[str, Basis]:
        """The protected bases of a method."""
        if settings.energy == "auto":
            return self.calibration.automatic_bases(settings, self._domain_gradients(settings))
        return self.calibration.bases(settings.energy)

    def certificate_bases(self, settings: Method) -> dict[str, Basis]:
        """The method's own protected bases, or the reference's where it protects nothing hard."""
        assert self.experiment.reference is not None
        if isinstance(settings, Protecting) and settings.energy:
            return self.bases(settings)
        return self.calibration.bases(self.experiment.reference.certificate_energy)

    def _domain_gradients(self, settings: Protecting) -> dict[str, np.ndarray]:
        """Gradient of the summed domain loss with respect to every linear, before training, [L, d, n]."""
        method = methods.build(GradientProjection((), targets=settings.targets))
        start = method.initial(self.base.model, jax.random.key(0), None)
        gradient, layout = jax.jit(jax.grad(partial(loss_sum, method))), self.base.model.compute.layout
        data = batches(self.rows, self.experiment.training.batch_rows, 0)
        sums = [gradient(start, self.base.model, put_rows(next(data), layout), None) for _ in range(GRADIENT_BATCHES)]
        return {name: whole(sum(part[name].change for part in sums)) for name in start}

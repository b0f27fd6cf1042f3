"""An experiment, its output folder, and the results that all its runs share, each computed on first use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.base_model import Base, model_folder
from experiments.config import Evaluation, Experiment, Tuned
from experiments.config_loader import to_json
from experiments.data.describe import contamination
from experiments.data.generated import reference_sources, turns
from experiments.data.rows import other_sources, training_rows
from experiments.data.sources import data_hashes, fingerprint, load_examples
from experiments.evaluation import judges
from experiments.evaluation.evaluate import measure_axes
from experiments.evaluation.judges import Judge
from experiments.evaluation.scores import Scores, cached_scores, means
from experiments.evaluation.tasks import TASKS
from experiments.evaluation.tasks.judged import Judged
from experiments.runs import watch
from experiments.runs.accumulated import Accumulated
from experiments.runs.calibrate import Calibration
from experiments.runs.tuned import tuned_hash
from experiments.store.cache import cached_json, cached_path
from experiments.store.record import Contamination
from experiments.store.record.codec import from_json
from jaxft.data.batches import batches
from jaxft.data.packing import Rows
from jaxft.data.source import Mix
from jaxft.distributed import gather
from jaxft.llama import checkpoint
from jaxft.methods import GradientProjection, Method, Protecting, SafeLora, Statistics
from jaxft.methods.base import MEASURED, REFERENCE
from jaxft.progress import about
from jaxft.sharding import Sharding, shard_rows
from jaxft.subspace.basis import Basis
from jaxft.training.step import loss_sum

#: Batches of the domain whose gradient sets the ranks under energy "auto".
GRADIENT_BATCHES = 8
#: Maximum number of domain examples to measure drift on: about 100 give a mean over tokens to a few per cent.
DRIFT_EXAMPLES = 128


@dataclass(frozen=True)
class Workspace:
    """An experiment, its output folder, and the results that all its runs share.

    shared: a folder for results that several experiments have in common, under hashes of their inputs; None: `out`.
    earlier: calibrations of the reference text, then of the domains that the base has already learnt.
    """

    experiment: Experiment
    out: Path
    shared: Path | None = None
    earlier: tuple[Calibration, ...] = ()

    def run_folder(self, name: str, learning_rate: float, seed: int) -> Path:
        """The folder of one training run of a method, trained here or at a provider."""
        return self.out / name / f"lr_{learning_rate:g}" / f"seed_{seed}"

    @cached_property
    def base(self) -> Base:
        return Base(self.experiment.model)

    @cached_property
    def rows(self) -> Rows:
        """The domain, packed for training."""
        return training_rows(self.experiment, self.base)

    def rows_of(self, mix: Mix | None) -> Rows:
        """The rows to train on: the domain, plus the text that a method mixes in."""
        return training_rows(self.experiment, self.base, mix) if mix else self.rows

    def reference_rows(self, method: Method) -> Rows | None:
        """The reference text, packed like training text; None unless the method reads it in every step."""
        if REFERENCE not in method.reads:
            return None
        return self.base.pack(self.calibration.text.fit, self.experiment.training.row_length, "split", True)

    def statistics(self, method: Method) -> Statistics:
        """The statistics that a method reads in addition to the domain, without the safe adapter."""
        found = Statistics()
        if method.reads & MEASURED:
            bases = self.bases(method) if isinstance(method, Protecting) else {}
            found = self.calibration.statistics(method, bases)
        if isinstance(method, SafeLora):
            found = replace(found, unaligned=self.base.reload(model_folder(method.unaligned)))
        return replace(found, base=self.base.model) if "base" in method.reads else found

    @cached_property
    def calibration(self) -> Calibration:
        folder = (self.shared or self.out) / "calibration"
        if self.earlier:
            return Accumulated(self.experiment, self.base, folder, self.earlier)
        return Calibration(self.experiment, self.base, folder)

    @cached_property
    def judge(self) -> Judge | None:
        """The judge; None if no axis needs one. Its verdicts are stored next to the calibration."""
        judged = any(isinstance(TASKS[axis.task], Judged) for axis in self.experiment.evaluation.axes.values())
        return judges.build(self.experiment.judge, (self.shared or self.out) / "judge") if judged else None

    @cached_property
    def domain_sha256(self) -> str:
        return fingerprint(load_examples(self.experiment.domain))

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Hashes of all models and data that are read. Results in the folder are valid only for these."""
        experiment = self.experiment
        sources = [*experiment.domain, *(reference_sources(experiment.reference) if experiment.reference else ())]
        sources += [source for axis in experiment.evaluation.axes.values() for source in (axis.source, axis.validation)]
        sources += other_sources(experiment)
        unaligned = {one.unaligned for one in experiment.methods.values() if isinstance(one, SafeLora)}
        return {
            "model": self.base.sha256,
            "tokenizer": self.base.tokenizer_sha256,
            "data": data_hashes(sources),
            **{f"tuned {one.folder}": tuned_hash(one) for one in experiment.methods.values() if isinstance(one, Tuned)},
            **{f"unaligned {name}": checkpoint.content_hash(model_folder(name)) for name in sorted(unaligned)},
        }

    @cached_property
    def contamination(self) -> dict[str, Contamination]:
        """Copies of test examples in the training text and in the reference text, by axis."""
        experiment, path = self.experiment, self.out / "contamination.json"
        if self.shared is not None:
            trained = [*experiment.domain, *other_sources(experiment)]
            parts = [trained, experiment.reference, experiment.evaluation.axes, self.inputs["data"]]
            path = cached_path(self.shared, to_json(parts), "contamination_{}.json")

        def find() -> dict[str, Any]:
            reference = experiment.reference
            written = self.calibration.written if reference is not None and reference.generated else []
            texts = [one for part in written for text in part for one in turns(text, self.base.tokenizer)]
            return contamination(experiment, written=texts)

        return from_json(dict[str, Contamination], cached_json(path, find), str(path))

    @cached_property
    def _base_folder(self) -> Path:
        """The folder of the base's scores."""
        if self.shared is None:
            return self.out
        experiment, evaluation = self.experiment, replace(self.experiment.evaluation, target=0.0, matched=())
        model = replace(experiment.model, folder="", sharding=Sharding(), export_dtype="base")
        data = data_hashes(source for axis in evaluation.axes.values() for source in (axis.source, axis.validation))
        weights = [self.base.sha256, self.base.tokenizer_sha256]
        key = [*weights, *to_json([model, evaluation, experiment.judge]), data]
        return cached_path(self.shared / "base", key)

    @property
    def dry_run(self) -> Path:
        """The folder of what would be sent to hosted systems, for the user to look at; never read again."""
        return self.out / "dry_run"

    @cached_property
    def heldout_moments(self) -> dict[str, np.ndarray]:
        return self.calibration.heldout_moments()

    @cached_property
    def domain_batches(self) -> list[dict[str, np.ndarray]]:
        """Up to DRIFT_EXAMPLES evenly spaced domain examples, packed like the reference text, to measure drift."""
        domain = load_examples(self.experiment.domain)
        return self.calibration.batches(domain[:: -(-len(domain) // DRIFT_EXAMPLES)])

    @cached_property
    def base_scores(self) -> dict[str, Scores]:
        """The scores of the base on the test examples of every axis."""
        return self._base_scores("base_test.json", self.experiment.evaluation, validation=False)

    def _base_scores(self, name: str, evaluation: Evaluation, *, validation: bool) -> dict[str, Scores]:
        with about("base"):
            return cached_scores(
                self._base_folder / name,
                lambda: measure_axes(self.base, self.base.model, None, evaluation, self.judge, validation=validation),
            )

    @cached_property
    def watched(self) -> Evaluation:
        """The evaluation while training: every axis, on a part of its validation examples."""
        return watch.subset(self.experiment.evaluation)

    @cached_property
    def watched_base(self) -> dict[str, float | None]:
        """The base's mean scores in the evaluation while training."""
        return means(self._base_scores("base_watch.json", self.watched, validation=True))

    def bases(self, method: Protecting) -> dict[str, Basis]:
        """The protected bases of a method, by input space."""
        if method.energy == "auto":
            gradients = {name: self._domain_gradients[name] for name in method.targets}
            return self.calibration.automatic_bases(method, gradients)
        return self.calibration.bases(method.energy)

    def certificate_bases(self, method: Method | None) -> dict[str, Basis]:
        """The method's protected bases; if it has none, those at `reference.certificate_energy`."""
        assert self.experiment.reference is not None
        if isinstance(method, Protecting) and method.energy:
            return self.bases(method)
        return self.calibration.bases(self.experiment.reference.certificate_energy)

    @cached_property
    def _domain_gradients(self) -> dict[str, np.ndarray]:
        """Gradient [L, d, n] of the summed loss on GRADIENT_BATCHES domain batches, before training, by linear."""
        method = GradientProjection()
        start = method.initial(self.base.model, jax.random.key(0), None)
        gradient, layout = jax.jit(jax.grad(partial(loss_sum, method))), self.base.model.compute.layout
        data = batches(self.rows, self.experiment.training.batch_rows, 0)
        sums = [gradient(start, self.base.model, shard_rows(data[n], layout), None) for n in range(GRADIENT_BATCHES)]
        return {name: gather(sum(part[name].change for part in sums)) for name in start}

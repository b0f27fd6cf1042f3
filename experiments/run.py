"""One training run of one method: train, measure, certify, export. What is done already is read back, not redone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import judges, watch
from experiments.calibrate import Calibration, ranks
from experiments.data import contamination
from experiments.evaluate import Scores, measure_axes
from experiments.judges import Judge
from experiments.provenance import data_hashes, digest, read_json, write_json
from experiments.settings import to_json
from experiments.setup import Base, load_examples, note, training_rows
from experiments.tasks import RUBRICS
from jaxft import methods
from jaxft.config import Evaluation, Experiment, GradientProjection, Method
from jaxft.data.batches import batches
from jaxft.data.packing import Rows
from jaxft.data.sources import fingerprint
from jaxft.distributed import agreed, led, whole
from jaxft.llama import checkpoint
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import Adapters, Llama, forward
from jaxft.sharding import put_rows
from jaxft.subspace.basis import Basis
from jaxft.subspace.certificate import certify, drift
from jaxft.training.loop import train
from jaxft.training.metrics import TIMINGS
from jaxft.training.step import loss_sum

#: Batches of the domain whose gradient decides how much plasticity energy "auto" leaves.
GRADIENT_BATCHES = 8

_logits = jax.jit(lambda model, batch: forward(model, batch["tokens"], batch["positions"], batch["segments"]))


def _forward(model: Llama, batch: Mapping[str, Any]) -> jax.Array:
    return _logits(model, put_rows(batch, model.compute.layout))


@dataclass(frozen=True)
class Workspace:
    """An experiment with its output folder and what all of its runs share."""

    experiment: Experiment
    out: Path

    def run_folder(self, name: str, learning_rate: float, seed: int) -> Path:
        """Where all of one training run of a method lies, whoever trains."""
        return self.out / name / f"lr_{learning_rate:g}" / f"seed_{seed}"

    @cached_property
    def base(self) -> Base:
        return Base(self.experiment.model)

    @cached_property
    def rows(self) -> Rows:
        return training_rows(self.experiment, self.base)

    @cached_property
    def calibration(self) -> Calibration:
        return Calibration(self.experiment, self.base, self.out / "calibration")

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
        sources = [*experiment.domain, *(experiment.reference.sources if experiment.reference else ())]
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
            write_json(path, contamination(self.experiment))
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

    def bases(self, settings: GradientProjection) -> dict[str, Basis]:
        """The protected bases of a projection."""
        if settings.energy == "auto":
            return self.calibration.automatic_bases(settings, self._domain_gradients(settings))
        return self.calibration.bases(settings.energy)

    def certificate_bases(self, settings: Method) -> dict[str, Basis]:
        """The method's own protected bases, or the reference's where it protects nothing hard."""
        assert self.experiment.reference is not None
        if isinstance(settings, GradientProjection) and settings.energy:
            return self.bases(settings)
        return self.calibration.bases(self.experiment.reference.certificate_energy)

    def _domain_gradients(self, settings: GradientProjection) -> dict[str, np.ndarray]:
        """Gradient of the summed domain loss with respect to every linear, before training, [L, d, n]."""
        method = methods.build(settings)
        start = method.initial(self.base.model, jax.random.key(0))
        gradient, layout = jax.jit(jax.grad(partial(loss_sum, method))), self.base.model.compute.layout
        data = batches(self.rows, self.experiment.training.batch_rows, 0)
        sums = [gradient(start, self.base.model, put_rows(next(data), layout), None) for _ in range(GRADIENT_BATCHES)]
        return {name: whole(sum(part[name].change for part in sums)) for name in start}


@dataclass(frozen=True)
class Run:
    """One method at one learning rate and seed."""

    work: Workspace
    name: str
    settings: Method
    learning_rate: float
    seed: int

    @property
    def folder(self) -> Path:
        return self.work.run_folder(self.name, self.learning_rate, self.seed)

    @property
    def base_scores(self) -> dict[str, Scores]:
        return self.work.base_scores

    @cached_property
    def method(self) -> methods.Method:
        return methods.build(self.settings)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the trained weights; checkpoints of anything else are refused."""
        experiment = self.work.experiment
        return {
            "model": self.work.base.sha256,
            "tokenizer": self.work.base.tokenizer_sha256,
            "template": experiment.model.template,
            "domain": self.work.domain_sha256,
            "training": digest(to_json(experiment.training)),
            "method": digest(to_json(replace(self.settings, learning_rates=()))),
            "reference": digest(self.work.calibration.description)
            if isinstance(self.settings, GradientProjection)
            else "",
            "learning_rate": self.learning_rate,
            "seed": self.seed,
            **self._watch_identity(),
        }

    def _watch_identity(self) -> dict[str, str]:
        """Hash of the evaluation while training, where that decides which weights are left; else nothing."""
        experiment, settings = self.work.experiment, self.work.experiment.evaluation.watch
        if settings is None or (settings.keep == "last" and not settings.stop_after):
            return {}
        evaluation = replace(self.work.watched, target=0.0)  # chooses among learning rates alone
        examples = data_hashes(axis.validation for axis in evaluation.axes.values())
        judge = to_json(experiment.judge) if self.work.judge else None
        return {"watch": digest([to_json(evaluation), examples, judge])}

    def watcher(self, measure: Callable[[Any], watch.Means] | None = None) -> watch.Watcher | None:
        """Who evaluates while training; None where the config does not ask for it."""
        settings, work = self.work.experiment.evaluation.watch, self.work
        if settings is None:
            return None
        return watch.Watcher(
            settings,
            work.experiment.training.steps,
            self.folder / "watch.jsonl",
            self.label,
            work.watched_base,
            watch.losses(work.watched),
            measure,
        )

    @property
    def label(self) -> str:
        return f"{self.name} lr {self.learning_rate:g} seed {self.seed}"

    @cached_property
    def trained(self) -> Any:
        """The trained parameters: from the finished checkpoint, or after training what is left."""
        work, subspaces, constants = self.work, None, None
        compute = work.base.model.compute
        if isinstance(self.settings, GradientProjection):
            bases = work.bases(self.settings)
            for line in ranks(bases):
                note(f"{self.name}  {line}")
            subspaces = work.calibration.subspaces(bases)
            constants = self.method.constants(subspaces, compute.layout, compute.dtype)

        def measure(trainable: Any) -> watch.Means:
            assembled = self.method.assemble(work.base.model, self.method.settle(trainable, subspaces, compute.layout))
            return means(measure_axes(work.base, *assembled, work.watched, work.judge, validation=True))

        trained = train(
            self.method,
            work.experiment.training,
            self.learning_rate,
            work.base.model,
            constants,
            work.rows,
            seed=self.seed,
            label=self.label,
            folder=self.folder,
            identity=self.identity,
            watch=self.watcher(measure),
        )
        if trained.timings is not None:
            write_json(self.folder / "timings.json", trained.timings)
        return self.method.settle(trained.trainable, subspaces, compute.layout)

    @property
    def assembled(self) -> tuple[Llama, Adapters | None]:
        return self.method.assemble(self.work.base.model, self.trained)

    def scores(self, *, validation: bool) -> dict[str, Scores]:
        """Every axis, on validation or test examples."""
        path = self.folder / ("validation.json" if validation else "test.json")
        return cached_scores(
            path,
            lambda: measure_axes(
                self.work.base,
                *self.assembled,
                self.work.experiment.evaluation,
                self.work.judge,
                validation=validation,
            ),
        )

    def result(self) -> dict[str, Any]:
        """Certificate after training and after export, timings and sizes; exports the merged model on the way."""
        path = self.folder / "result.json"
        if agreed(path.is_file()):
            return read_json(path)
        base = self.work.base.model
        exported, timings = self.export(self.folder / "model"), self.folder / "timings.json"
        merged = self.method.finish(base, self.trained)
        certificate = None
        if self.work.experiment.reference is not None:
            certificate = {
                **certify_model(self.work, self.settings, merged, changes=self._changes(merged)),
                "exported": certify_model(self.work, self.settings, self.work.base.reload(exported)),
            }
        result = {
            "delta_norm": delta_norm(base, merged),
            "certificate": certificate,
            "timings": read_json(timings) if timings.is_file() else dict.fromkeys(TIMINGS),  # None: lost to a kill
            "trained_parameters": sum(leaf.size for leaf in jax.tree.leaves(self.trained)),
        }
        if (watcher := self.watcher()) is not None:
            result |= {"watched": watcher.lines, "kept_step": watcher.kept}
        write_json(path, result)
        return result

    def export(self, folder: Path) -> Path:
        """Write the fine-tuned model as a Hugging Face folder, unless it is there."""
        if not agreed(folder.is_dir()):
            checkpoint.save(self.method.finish(self.work.base.model, self.trained), folder, like=self.work.base.folder)
        return folder

    def forget_checkpoints(self) -> None:
        """Free the disk of a run that was not chosen; its measurements stay."""
        checkpoints = self.folder / "checkpoints"
        led(f"{checkpoints} deleted", lambda: shutil.rmtree(checkpoints, ignore_errors=True))

    def _changes(self, merged: Llama) -> Mapping[str, jax.Array]:
        """dW by linear: as trained where the method keeps it apart, else merged - base."""
        _, adapters = self.assembled
        if adapters is not None:
            return {name: adapter.delta() for name, adapter in adapters.items()}
        return kernel_changes(self.work.base.model, merged)


def means(scores: Mapping[str, Scores]) -> dict[str, float | None]:
    """The mean of every axis; None where a judge gave no verdict."""
    return {name: found.mean if found.judged.any() else None for name, found in scores.items()}


def cached_scores(path: Path, compute: Any) -> dict[str, Scores]:
    """Scores from `path`, or computed and, where another call could not complete them, written there."""
    if agreed(path.is_file()):
        return {
            name: Scores(
                np.array([np.nan if value is None else value for value in axis["values"]]),
                np.array(axis["weights"]),
                tuple(axis["replies"]),
                tuple(axis["labels"]),
            )
            for name, axis in read_json(path).items()
        }
    scores: dict[str, Scores] = compute()
    if not all(axis.complete for axis in scores.values()):
        return scores
    write_json(
        path,
        {
            name: {
                "mean": average,
                "values": [value if known else None for value, known in zip(s.values.tolist(), s.judged, strict=True)],
                "weights": s.weights.tolist(),
                "replies": s.replies,
                "labels": s.labels,
            }
            for (name, s), average in zip(scores.items(), means(scores).values(), strict=True)
        },
    )
    return scores


def kernel_changes(base: Llama, model: Llama) -> dict[str, jax.Array]:
    """W - W0 of every linear that changed, [L, d, n] float32."""
    changes = {}
    for name in SPACE_OF:
        change = getattr(model.layers, name)[...].astype("float32") - getattr(base.layers, name)[...].astype("float32")
        if bool((change != 0).any()):
            changes[name] = change
    return changes


def delta_norm(base: Llama, model: Llama) -> float:
    """Frobenius norm of the change of all linears."""
    changes = kernel_changes(base, model).values()
    return float(np.sqrt(sum(float(jnp.square(change).sum()) for change in changes)))


def certify_model(
    work: Workspace, settings: Method, model: Llama, changes: Mapping[str, jax.Array] | None = None
) -> dict[str, Any]:
    """The certificate of a fine-tuned model against the experiment's base, bases and held-out reference text."""
    base = work.base.model
    kernels = {name: getattr(base.layers, name)[...] for name in SPACE_OF}
    others = {
        "embed": (base.embed, model.embed),
        "norm": (base.norm, model.norm),
        "head": (base.head, model.head),
        "layers.attention_norm": (base.layers.attention_norm, model.layers.attention_norm),
        "layers.mlp_norm": (base.layers.mlp_norm, model.layers.mlp_norm),
    }
    moved = [
        name
        for name, (old, new) in others.items()
        if old is not None and new is not None and bool((old[...] != new[...]).any())
    ]
    weights = certify(
        kernel_changes(base, model) if changes is None else changes,
        kernels,
        work.certificate_bases(settings),
        work.heldout_moments,
        SPACE_OF,
        moved,
    )
    movement = drift(
        lambda batch: _forward(base, batch),
        lambda batch: _forward(model, batch),
        work.calibration.heldout_batches(),
    )
    return {**weights, **movement}

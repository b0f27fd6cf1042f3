"""One training run of one method: train, score, certify and export. Finished work is read back, not redone."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.base_model import model_folder
from experiments.config_loader import to_json
from experiments.data.rows import training_rows
from experiments.data.sources import data_hashes
from experiments.evaluation.evaluate import measure_axes
from experiments.evaluation.scores import means
from experiments.runs import watch
from experiments.runs.calibrate import ranks
from experiments.runs.measured import Measured
from experiments.runs.output import binding
from experiments.store.cache import digest
from experiments.store.record.codec import from_json
from experiments.store.record.method import NOT_TIMED, Memory, RunResult, Timings, Watched
from jaxft.distributed import agreed, run_on_leader
from jaxft.io import read_json, write_json
from jaxft.llama import checkpoint
from jaxft.llama.model import Adapters, Llama
from jaxft.methods import Lora, Method, SafeLora, SafeMerge
from jaxft.methods.peft import save_adapter
from jaxft.progress import about
from jaxft.training.loop import train

log = logging.getLogger("jaxft")

#: Folder of the safe adapter's training, inside the folder of the run.
SAFE = "safe_adapter"


@dataclass(frozen=True)
class Run(Measured):
    """One method at one learning rate and seed."""

    method: Method
    learning_rate: float
    seed: int

    @property
    def folder(self) -> Path:
        return self.work.run_folder(self.name, self.learning_rate, self.seed)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the trained weights; checkpoints with another identity are refused."""
        experiment = self.work.experiment
        return {
            "model": self.work.base.sha256,
            "tokenizer": self.work.base.tokenizer_sha256,
            "template": experiment.model.template,
            "domain": self.work.domain_sha256,
            "training": digest(binding(experiment)["training"]),
            "method": digest(to_json(replace(self.method, learning_rates=()))),
            "reference": digest(self.work.calibration.description) if self.method.reference != "none" else "",
            "mix": data_hashes(self.method.mix.sources) if self.method.mix else {},
            "learning_rate": self.learning_rate,
            "seed": self.seed,
            **self._safety_identity(),
            **self._watch_identity(),
        }

    def _safety_identity(self) -> dict[str, Any]:
        """Hash of the unaligned model or of the safe replies that edit the weights at the end; {} for other methods."""
        method, found = self.method, {}
        if isinstance(method, SafeLora):
            found["unaligned"] = checkpoint.content_hash(model_folder(method.unaligned))
        if isinstance(method, SafeMerge):
            found["safe"] = data_hashes(method.safe_sources)
        return found

    def _watch_identity(self) -> dict[str, str]:
        """Hash of the evaluation while training if it decides which weights are kept, else {}."""
        experiment, settings = self.work.experiment, self.work.experiment.evaluation.watch
        if settings is None or (settings.keep == "last" and not settings.stop_after):
            return {}
        evaluation = replace(self.work.watched, target=0.0, matched=())  # these change no weights
        examples = data_hashes(axis.validation for axis in evaluation.axes.values())
        judge = to_json(experiment.judge) if self.work.judge else None
        return {"watch": digest([to_json(evaluation), examples, judge])}

    def watcher(self, measure: Callable[[Any], watch.Means] | None = None) -> watch.Watcher | None:
        """The watcher that evaluates while training; None if the config sets no `evaluation.watch`."""
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
        """The trained parameters: from the finished checkpoint, or after the remaining training steps."""
        work, base = self.work, self.work.base.model
        statistics = work.statistics(self.method)
        if isinstance(self.method, SafeMerge):
            statistics = replace(statistics, safe=self._safe_adapter(self.method))
        for line in ranks(statistics.bases):
            log.info(f"{self.name}  {line}")

        def measure(trainable: Any) -> watch.Means:
            assembled = self.method.assemble(base, self.method.finalize(trainable, base, statistics))
            with about(self.label):
                return means(measure_axes(work.base, *assembled, work.watched, work.judge, validation=True))

        trained = train(
            self.method,
            work.experiment.training,
            self.learning_rate,
            base,
            self.method.constants(statistics, base.compute.layout, base.compute.dtype),
            work.rows_of(self.method.mix),
            reference=work.reference_rows(self.method),
            seed=self.seed,
            label=self.label,
            folder=self.folder,
            identity=self.identity,
            watch=self.watcher(measure),
        )
        if trained.timings is not None:
            write_json(self.folder / "timings.json", trained.timings)
        return self.method.finalize(trained.trainable, base, statistics)

    def _safe_adapter(self, method: SafeMerge) -> Any:
        """A plain LoRA trained only on the safe replies, with the settings, learning rate and seed of this run."""
        experiment, base = self.work.experiment, self.work.base
        return train(
            method.safe_method,
            experiment.training,
            self.learning_rate,
            base.model,
            None,
            training_rows(replace(experiment, domain=method.safe_sources), base),
            seed=self.seed,
            label=f"{self.label} safe adapter",
            folder=self.folder / SAFE,
            identity=self.identity,
        ).trainable

    @property
    def assembled(self) -> tuple[Llama, Adapters | None]:
        return self.method.assemble(self.work.base.model, self.trained)

    def _result(self) -> RunResult:
        """The certificates after training and after export, timings and sizes. Also exports the merged model."""
        exported, timings = self.export(self.folder / "model"), self.folder / "timings.json"
        moved = self.delta_norm  # before the certificate: this merges too, and memory holds one large merged model
        memory, watcher = self.folder / "memory.json", self.watcher()
        return RunResult(
            delta_norm=moved,
            certificate=self._certificate(self.method, exported),
            reference="while training" if self.method.mix else self.method.reference,
            timings=from_json(Timings, read_json(timings), str(timings)) if timings.is_file() else NOT_TIMED,
            memory=from_json(Memory, read_json(memory), str(memory)),
            trained_parameters=self.method.trained_parameters(self.trained),
            watched=tuple(map(_watched, watcher.lines)) if watcher else None,
            kept_step=watcher.kept if watcher else None,
        )

    def export(self, folder: Path) -> Path:
        """Write the fine-tuned model as a Hugging Face folder, in the dtypes of the base's files unless the config asks
        for another, unless the folder exists."""
        if not agreed(folder.is_dir()):
            base, asked = self.work.base, self.work.experiment.model.export_dtype
            dtypes = checkpoint.stored_dtypes(base.folder)
            if asked != "base":
                dtypes = dict.fromkeys(dtypes, asked)
            checkpoint.save(self.merged(), folder, like=base.folder, dtypes=dtypes)
        return folder

    def export_adapter(self, method: Lora, folder: Path) -> Path:
        """Write the adapter as a peft folder, unless the folder exists."""
        if not agreed(folder.is_dir()):
            base = self.work.base
            save_adapter(self.trained, method.scaling, base.address, folder, base.model.config)
        return folder

    def forget_checkpoints(self) -> None:
        """Delete the checkpoints of a run that was not chosen, to free disk space; its measurements stay."""
        for checkpoints in (self.folder / "checkpoints", self.folder / SAFE):
            run_on_leader(
                f"{checkpoints} deleted", lambda folder=checkpoints: shutil.rmtree(folder, ignore_errors=True)
            )


def _watched(line: Mapping[str, Any]) -> Watched:
    return Watched(step=line["step"], means={name: mean for name, mean in line.items() if name != "step"})

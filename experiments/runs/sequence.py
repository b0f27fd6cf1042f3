"""`jaxft sequence`: learn several domains in turn, score every axis after each, write one record and one report.

A stage is an experiment whose base is the model that the previous stage exported. Methods that protect directions use
the stored moments of the reference text and of all earlier domains.
"""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.base_model import Base
from experiments.config import Auto, Axis, Experiment, Hosted, Sequence, Tuned
from experiments.data.rows import training_rows
from experiments.evaluation.evaluate import describe_axis
from experiments.evaluation.scores import means
from experiments.runs.auto import AutoSearch
from experiments.runs.calibrate import Calibration
from experiments.runs.certify import certify_model
from experiments.runs.checks import check
from experiments.runs.compare import choose_rate
from experiments.runs.output import open_output
from experiments.runs.run import Run
from experiments.runs.workspace import Workspace
from experiments.store.cache import cached_json
from experiments.store.provenance import hardware, heading, versions
from experiments.store.record import Judge, SeedScores, SequenceMethod, SequenceRecord, Stage, TotalTime, write_record
from experiments.store.record.certificate import Certificate
from experiments.store.record.codec import from_json, to_json
from experiments.store.record.method import RunResult
from jaxft import bounds
from jaxft.data.source import Source
from jaxft.errors import UserError
from jaxft.io import read_json, write_json
from jaxft.methods import Method

log = logging.getLogger("jaxft")

OWN = "proficiency"  # the axis of the domain that a stage learns


@dataclass(frozen=True)
class Learnt:
    """The outcome of one stage, without models in memory.

    model: folder of the exported model. calibration: moments of the domain's text under that model; None if the method
    does not protect what it has learnt. scores: means by the record's names of axes. against_first: the certificate
    against the first base.
    """

    work: Workspace
    model: Path
    calibration: Calibration | None
    scores: dict[str, float | None]
    result: RunResult
    against_first: Certificate | None


@dataclass(frozen=True)
class Plan:
    """The stages of a sequence, including the first, and the experiment of each."""

    sequence: Sequence

    @property
    def names(self) -> tuple[str, ...]:
        return (self.sequence.first, *(stage.name for stage in self.sequence.stages))

    @property
    def axes(self) -> dict[str, Axis]:
        """Every axis by its name in the record, those of the stages first."""
        own = self.sequence.experiment.evaluation.axes
        stages = {stage.name: stage.axis for stage in self.sequence.stages}
        return {self.sequence.first: own[OWN], **stages, **{name: axis for name, axis in own.items() if name != OWN}}

    def domain(self, number: int) -> tuple[Source, ...]:
        return self.sequence.stages[number - 1].domain if number else self.sequence.experiment.domain

    def experiment(self, number: int) -> Experiment:
        """The experiment of a stage. The axis of its domain becomes "proficiency", which learning should improve.

        The next stage starts from its export, so this is not rounded to the dtype of the base unless the config asks.
        """
        whole, name = self.sequence.experiment, self.names[number]
        model = whole.model
        if model.export_dtype == "base":
            model = replace(model, export_dtype="float32")
        axes = {OWN if axis == name else axis: settings for axis, settings in self.axes.items()}
        evaluation = replace(whole.evaluation, axes=axes)
        name = f"{self.sequence.name}_{name}"
        return replace(whole, name=name, domain=self.domain(number), evaluation=evaluation, model=model)

    def named(self, number: int, values: dict[str, Any]) -> dict[str, Any]:
        """The values of a stage by the record's names of axes, in the record's order."""
        return {axis: values[OWN if axis == self.names[number] else axis] for axis in self.axes}


def check_sequence(sequence: Sequence) -> None:
    """UserError for a sequence that cannot be completed, before anything long begins."""
    bounds.check(sequence)
    for name, settings in sequence.experiment.methods.items():
        if isinstance(settings, Hosted):
            raise UserError(f"methods.{name}: a provider keeps its weights, and the next domain starts from them")
        if isinstance(settings, Tuned):
            raise UserError(f"methods.{name}: was trained elsewhere, and a sequence trains every method on each domain")
    check(sequence.experiment)
    plan = Plan(sequence)
    for number in range(len(plan.names)):
        experiment = plan.experiment(number)
        check(experiment)  # its domain and its axes
        training_rows(experiment, Base(experiment.model))


def learn_sequence(sequence: Sequence, out: Path, command: str) -> SequenceRecord:
    """Train every method on all domains in turn and write the record; finished work is read back."""
    began = time.perf_counter()
    check_sequence(sequence)
    plan = Plan(sequence)
    first = open_output(plan.experiment(0), out / f"1_{sequence.first}")
    clock = out / "timings.json"
    earlier = read_json(clock)["total_seconds"] if clock.is_file() else 0.0
    before = plan.named(0, means(first.base_scores))
    log.info("base  " + _listed(before))
    results, works = {}, []
    for name, settings in sequence.experiment.methods.items():
        assert not isinstance(settings, (Hosted, Tuned))
        kind = settings.kind
        if isinstance(settings, Auto):
            found, _ = AutoSearch(first, name, settings).found()
            settings, rate, rates = found.method, found.learning_rate, ()
        else:
            rate, rates = choose_rate(first, name, settings)
        seeds = [_learn(plan, first, name, settings, rate, seed) for seed in sequence.experiment.seeds]
        works = works or [learnt.work for learnt in seeds[0]]
        results[name] = SequenceMethod(kind=kind, learning_rate=rate, rates=rates, **_described(plan, seeds))
    timings = TotalTime(total_seconds=round(earlier + time.perf_counter() - began, 1))
    record = SequenceRecord(
        **heading(sequence.name, command, sequence),
        versions=versions(),
        hardware=hardware(),
        seeds=sequence.experiment.seeds,
        data={name: data for work in works for name, data in work.inputs["data"].items()},
        contamination={plan.names[number]: plan.named(number, work.contamination) for number, work in enumerate(works)},
        reference=tuple(first.calibration.describe_text()) if sequence.experiment.reference else None,
        base=first.base.description,
        judge=Judge(name=first.judge.name, usage=first.judge.usage) if first.judge else None,
        stages=plan.names,
        axes={name: describe_axis(axis) for name, axis in plan.axes.items()},
        before=before,
        methods=results,
        timings=timings,
    )
    kept = write_record(out / "record.json", record)
    if kept is record:
        write_json(clock, to_json(timings))
    return kept


def _learn(plan: Plan, first: Workspace, name: str, settings: Method, rate: float, seed: int) -> list[Learnt]:
    """Train one method on all domains in turn with one seed."""
    learnt: list[Learnt] = []
    for _ in plan.names:
        work = _open(plan, first, name, settings, rate, seed, learnt) if learnt else first
        learnt.append(_stage(plan, first, Run(work, name, settings, rate, seed), len(learnt)))
    return learnt


def _open(
    plan: Plan, first: Workspace, name: str, settings: Method, rate: float, seed: int, learnt: list[Learnt]
) -> Workspace:
    """The workspace of the stage that follows those in `learnt`."""
    number = len(learnt)
    whole = plan.experiment(number)
    experiment = replace(
        whole,
        model=replace(whole.model, folder=str(learnt[-1].model)),
        methods={name: replace(settings, learning_rates=(rate,))},
        seeds=(seed,),
    )
    folder = first.out.parent / f"{number + 1}_{plan.names[number]}" / name / f"seed_{seed}"
    if whole.reference is None:
        return open_output(experiment, folder)
    domains = (one.calibration for one in learnt)
    known = (first.calibration, *(one for one in domains if one is not None))
    return open_output(experiment, folder, earlier=known)


def _stage(plan: Plan, first: Workspace, run: Run, number: int) -> Learnt:
    """Learn one domain, score it, certify it and export the model."""
    work, name = run.work, plan.names[number]
    scores = plan.named(number, means(run.scores(validation=False)))
    log.info(f"{run.label}  after {name}: {_listed(scores)}")
    result, model = run.result(), run.export(run.folder / "model")
    against = None
    if first.experiment.reference is not None:
        path = run.folder / "against_first.json"
        found = cached_json(path, lambda: to_json(certify_model(first, run.method, first.base.reload(model))))
        against = from_json(Certificate, found, str(path))
    known = None
    if name != plan.names[-1] and run.method.reads & {"bases", "input_moments", "output_moments"}:
        _domain(run, model).measure()
        known = _domain(run, model)
    return Learnt(Workspace(work.experiment, work.out, earlier=work.earlier), model, known, scores, result, against)


def _domain(run: Run, model: Path) -> Calibration:
    """The calibration on a run's domain text, under the exported model that has just learnt it."""
    experiment = run.work.experiment
    assert experiment.reference is not None  # checked: a method that protects requires it
    settings = replace(experiment.model, folder=str(model))
    reference = replace(experiment.reference, sources=experiment.domain, generated=())
    whole = replace(experiment, model=settings, reference=reference, methods={run.name: run.method})
    return Calibration(whole, Base(settings), run.folder / "domain")


def _described(plan: Plan, seeds: list[list[Learnt]]) -> dict[str, Any]:
    """A method's part of the record: the scores of every axis and the change of the weights after every stage.

    backward_transfer: the mean, over all domains except the last, of (score after the last stage - score when just
    learnt), equation 3 of Lopez-Paz and Ranzato 2017 (arXiv:1706.08840); None if the domains have different metrics.
    """
    stages = []
    for number, name in enumerate(plan.names):
        scores = [learnt[number].scores for learnt in seeds]
        result = seeds[0][number].result
        stages.append(
            Stage(
                stage=name,
                scores={axis: _mean([one[axis] for one in scores]) for axis in plan.axes},
                seeds=tuple(
                    SeedScores(seed=seed, scores=one)
                    for seed, one in zip(plan.sequence.experiment.seeds, scores, strict=True)
                ),
                delta_norm=result.delta_norm,
                certificate=result.certificate,
                against_first=seeds[0][number].against_first,
                timings=result.timings,
                trained_parameters=result.trained_parameters,
            )
        )
    alike = len({describe_axis(plan.axes[name]).metric for name in plan.names}) == 1
    changes = [_change(stages[-1].scores[stage.stage], stage.scores[stage.stage]) for stage in stages[:-1]]
    return {"stages": tuple(stages), "backward_transfer": _mean(changes) if alike else None}


def _change(last: float | None, just: float | None) -> float | None:
    return None if last is None or just is None else last - just


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _listed(scores: dict[str, float | None]) -> str:
    return "  ".join(f"{name} {'-' if score is None else f'{score:.3f}'}" for name, score in scores.items())

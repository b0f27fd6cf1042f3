"""`jaxft compare`: score every method before and after, on every axis, and write one record and one report."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.config import Auto, Experiment, Hosted, Tuned
from experiments.config_loader import to_json
from experiments.data.sources import load_examples
from experiments.evaluation import statistics
from experiments.evaluation.evaluate import describe_axis
from experiments.evaluation.matched import matched
from experiments.evaluation.scores import Scores
from experiments.evaluation.tasks import TASKS
from experiments.runs.auto import AutoSearch
from experiments.runs.forecast import check_hosted
from experiments.runs.hosted import HostedRun
from experiments.runs.measured import TunedRun
from experiments.runs.output import open_output
from experiments.runs.run import Run
from experiments.runs.watch import rule
from experiments.runs.workspace import Workspace
from experiments.store.provenance import hardware, heading, versions
from experiments.store.record import AxisDescription, ComparisonRecord, Judge, TotalTime, Watch, write_record
from experiments.store.record.method import AxisResult, Group, MethodResult, Rate, Reply, SeedScore
from jaxft.data.example import Example
from jaxft.errors import UserError
from jaxft.io import read_json, write_json
from jaxft.methods import Method

log = logging.getLogger("jaxft")

#: Replies in the record for each method and axis, at most; those whose score changed come first.
SHOWN = 100


def compare(experiment: Experiment, out: Path, command: str, shared: Path | None = None) -> ComparisonRecord:
    """Score the base, choose each method's learning rate on validation data, train every seed, and score on test data.

    shared: folder of the results that several experiments have in common, see `Workspace`.
    """
    began = time.perf_counter()
    evaluation = experiment.evaluation
    work = open_output(experiment, out, shared=shared)
    if not (out / "record.json").is_file():  # if there is a record, few requests are left
        check_hosted(work)
    clock = out / "timings.json"  # total seconds of all invocations for this record
    earlier = read_json(clock)["total_seconds"] if clock.is_file() else 0.0
    axes = {name: describe_axis(axis) for name, axis in evaluation.axes.items()}
    here = not all(isinstance(settings, Hosted) for settings in experiment.methods.values())
    for name, scores in work.base_scores.items() if here else ():
        log.info(f"base  {name} {scores.mean:.3f}")
    results = _corrected({name: _method(work, name, settings, axes) for name, settings in experiment.methods.items()})
    timings = TotalTime(total_seconds=round(earlier + time.perf_counter() - began, 1))
    record = ComparisonRecord(
        **heading(experiment.name, command, experiment),
        versions=versions(),
        hardware=hardware(),
        seeds=experiment.seeds,
        data=work.inputs["data"],
        packed=work.rows.counts if experiment.trained else None,
        contamination=work.contamination if experiment.learns else None,
        reference=tuple(work.calibration.describe_text()) if experiment.reference is not None else None,
        base=work.base.description,
        axes=axes,
        judge=Judge(name=work.judge.name, usage=work.judge.usage) if work.judge else None,
        methods=results,
        timings=timings,
        watch=Watch(rule=rule(evaluation.watch), base=work.watched_base) if evaluation.watch is not None else None,
        matched=matched(results, axes, evaluation.matched),
    )
    kept = write_record(out / "record.json", record)
    if kept is record:
        write_json(clock, to_json(timings))
    return kept


def _run(work: Workspace, name: str, settings: Method | Hosted, rate: float, seed: int) -> Run | HostedRun:
    if isinstance(settings, Hosted):
        return HostedRun(work, name, settings, rate, seed)
    return Run(work, name, settings, rate, seed)


def _method(
    work: Workspace, name: str, settings: Method | Auto | Hosted | Tuned, axes: Mapping[str, AxisDescription]
) -> MethodResult:
    """One method's entry in the record, with p-values that are not corrected yet."""
    seeds, search = work.experiment.seeds, None
    if isinstance(settings, Tuned):
        runs, rate, rates = [TunedRun(work, name, settings)], None, ()
    elif isinstance(settings, Auto):
        found, search = AutoSearch(work, name, settings).found()
        runs, rate, rates = [replace(found, seed=seed) for seed in seeds], found.learning_rate, ()
    else:
        rate, rates = choose_rate(work, name, settings)
        runs = [_run(work, name, settings, rate, seed) for seed in seeds]
    before = runs[0].base_scores
    after = [run.scores(validation=False) for run in runs]
    first = runs[0].result()
    for axis, scores in after[0].items():
        log.info(f"{name}  {axis} {before[axis].mean:.3f} -> {scores.mean:.3f}")
    return MethodResult(
        **vars(first),
        kind=settings.kind,
        learning_rate=rate,
        search=search,
        rates=rates,
        axes={
            axis: replace(
                _axis(work, name, axis, axes[axis].metric == "accuracy", old, [scores[axis] for scores in after]),
                seeds=tuple(
                    SeedScore(seed=run.seed, after=scores[axis].mean)
                    for run, scores in zip(runs, after, strict=True)
                    if run.seed is not None
                ),
            )
            for axis, old in before.items()
        },
        examples={axis: _examples(work, axis, before[axis], after[0][axis]) for axis in before},
    )


def _axis(work: Workspace, name: str, axis: str, binary: bool, old: Scores, new: Sequence[Scores]) -> AxisResult:
    """One axis over all seeds, on the examples with a score before training and after every seed; UserError if none.

    The result lacks the scores of single seeds."""
    kept = np.all([scores.judged for scores in (old, *new)], axis=0)
    if not kept.any():
        raise UserError(f"{axis}: the judge gave no verdict on any pair of replies of {name}; see {work.out / 'judge'}")
    values = np.stack([scores.values[kept] for scores in new])
    return replace(
        statistics.compare(old.values[kept], values, old.weights[kept], binary),
        unjudged=int((~kept).sum()),
        groups=_groups(work, axis, old, new, kept),
        labels=_labels(old, new, kept),
    )


def choose_rate(work: Workspace, name: str, settings: Method | Hosted) -> tuple[float, tuple[Rate, ...]]:
    """(the learning rate of a method, all rates that were tried, empty if the config gives one rate).

    Every rate is tried with the first seed. The smallest rate that reaches the target proficiency on validation data
    is chosen; if no rate reaches it, the one with the best proficiency.
    """
    if len(settings.learning_rates) == 1:
        return settings.learning_rates[0], ()
    evaluation, rates, merits = work.experiment.evaluation, [], []
    sign = 1.0 if TASKS[evaluation.axes["proficiency"].task].higher_is_better else -1.0
    runs = [_run(work, name, settings, rate, work.experiment.seeds[0]) for rate in sorted(settings.learning_rates)]
    for run in runs:
        validation, test = (
            {axis: scores.mean for axis, scores in run.scores(validation=part).items()} for part in (True, False)
        )
        rates.append(
            Rate(
                learning_rate=run.learning_rate,
                validation=validation,
                test=test,
                delta_norm=run.delta_norm,
                chosen=False,
            )
        )
        summary = "  ".join(f"{axis} {value:.3f}" for axis, value in validation.items())
        log.info(f"{name}  lr {run.learning_rate:g}: validation {summary}")
        merits.append(sign * validation["proficiency"])
    reached = [index for index, merit in enumerate(merits) if merit >= sign * evaluation.target]
    chosen = reached[0] if reached else max(range(len(merits)), key=lambda index: merits[index])
    log.info(f"{name}  chosen learning rate {rates[chosen].learning_rate:g}")
    for index, run in enumerate(runs):
        if index != chosen:
            run.forget_checkpoints()
    return rates[chosen].learning_rate, tuple(replace(rate, chosen=at == chosen) for at, rate in enumerate(rates))


def _corrected(results: Mapping[str, MethodResult]) -> dict[str, MethodResult]:
    """The methods with Holm-corrected p-values; on each axis the correction is over all methods."""
    axes = next(iter(results.values())).axes
    holm = {axis: statistics.holm([method.axes[axis].p_value for method in results.values()]) for axis in axes}
    return {
        name: replace(
            method, axes={axis: replace(one, p_value_holm=holm[axis][at]) for axis, one in method.axes.items()}
        )
        for at, (name, method) in enumerate(results.items())
    }


def _groups(work: Workspace, axis: str, old: Scores, new: Sequence[Scores], kept: np.ndarray) -> dict[str, Group]:
    """{group: its mean scores before and after}, sorted; examples without a group are left out."""
    groups = np.array([example.key.get("group", "") for example in _test_examples(work, axis)])
    found = {}
    for group in sorted({*groups[kept]} - {""}):
        its = kept & (groups == group)
        found[str(group)] = Group(
            before=float(statistics.weighted_mean(old.values[its], old.weights[its])),
            after=float(np.mean([statistics.weighted_mean(one.values[its], one.weights[its]) for one in new])),
            examples=int(its.sum()),
        )
    return found


def _labels(old: Scores, new: Sequence[Scores], kept: np.ndarray) -> dict[str, tuple[float, float]] | None:
    """{label without flags: (replies before, mean over seeds of replies after)}, sorted; None without labels."""
    if not old.labels:
        return None
    before, *after = (
        Counter(label.partition(";")[0] for label, its in zip(scores.labels, kept, strict=True) if its)
        for scores in (old, *new)
    )
    names = sorted(set(before).union(*after))
    return {name: (before[name], float(np.mean([seed[name] for seed in after]))) for name in names}


def _examples(work: Workspace, axis: str, before: Scores, after: Scores) -> tuple[Reply, ...]:
    """At most SHOWN replies before and after, those whose score changed first; () if the axis has no replies."""
    if not before.replies:
        return ()
    examples = _test_examples(work, axis)
    flipped = before.judged & after.judged & (before.values != after.values)
    order = sorted(range(len(examples)), key=lambda i: not flipped[i])
    return tuple(
        Reply(
            prompt="\n".join(message.content for message in examples[i].messages),
            reference=examples[i].response,
            before=before.replies[i],
            after=after.replies[i],
            before_ok=_right(before, i),
            after_ok=_right(after, i),
            before_label=before.labels[i] if before.labels else "",
            after_label=after.labels[i] if after.labels else "",
            group=examples[i].key.get("group", ""),
        )
        for i in order[:SHOWN]
    )


def _right(scores: Scores, index: int) -> bool | None:
    """True if a reply counts as right, that is, if its score is at least 0.5; None without a verdict."""
    return bool(scores.values[index] >= 0.5) if scores.judged[index] else None


def _test_examples(work: Workspace, axis: str) -> list[Example]:
    return load_examples([work.experiment.evaluation.axes[axis].source])

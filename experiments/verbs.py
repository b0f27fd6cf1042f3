"""The verbs of `jaxft VERB CONFIG`, each called with its parsed words.

A verb imports what it needs only after the config is read, so that mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.config import Auto, Experiment, Hosted, Sequence, Sweep, Tuned
from experiments.config_loader import load, load_any, load_experiment, to_json
from jaxft.errors import UserError

if TYPE_CHECKING:
    from experiments.runs.run import Run
    from experiments.store.record import Record


def _begin(arguments: argparse.Namespace, config: Experiment | Sweep | Sequence, lock: bool = True) -> Path:
    """The output folder of a config, after the devices are ready for its model and all processes agree on it.

    lock: no other command works in the folder until this one ends.
    """
    from experiments.store.cache import occupied
    from experiments.store.provenance import versions
    from jaxft.distributed import check_same, is_leader, start
    from jaxft.sharding import make_mesh, use_mesh

    out = arguments.out or Path("runs") / config.name
    if start() and not is_leader():  # only the leader prints results
        arguments.stack.enter_context(redirect_stdout(arguments.stack.enter_context(open(os.devnull, "w"))))
    check_same({"config": to_json(config), "--out": str(out), "versions": versions()})
    experiment = config if isinstance(config, Experiment) else config.experiment
    arguments.stack.enter_context(use_mesh(make_mesh(experiment.model.sharding)))
    if lock:
        arguments.stack.enter_context(occupied(out))
    return out


def _experiment(arguments: argparse.Namespace) -> tuple[Experiment, Path]:
    experiment = load_experiment(arguments.config, arguments.overrides)
    return experiment, _begin(arguments, experiment)


def _methods(arguments: argparse.Namespace, experiment: Experiment) -> list[str]:
    """The requested method, or all that are trained here if none was requested."""
    known = [name for name, method in experiment.methods.items() if not isinstance(method, (Hosted, Tuned))]
    if not known:
        raise UserError(f"{arguments.config}: names no methods that are trained here")
    if arguments.method and arguments.method not in known:
        raise UserError(f"--method: found {arguments.method!r}, expected one of {', '.join(known)}")
    return [arguments.method] if arguments.method else known


def _run(arguments: argparse.Namespace) -> Run:
    """The run of one method, at its first learning rate and seed."""
    experiment, out = _experiment(arguments)
    name = _methods(arguments, experiment)[0]

    from experiments.runs.auto import AutoSearch
    from experiments.runs.output import open_output
    from experiments.runs.run import Run

    settings = experiment.methods[name]
    assert not isinstance(settings, (Hosted, Tuned))
    work = open_output(experiment, out)
    if isinstance(settings, Auto):
        return AutoSearch(work, name, settings).found()[0]
    return Run(work, name, settings, settings.learning_rates[0], experiment.seeds[0])


def _draw(record: Record, out: Path) -> None:
    from experiments.report import draw

    text, path = draw(record, out)
    print(f"{text}\n\nreport: {path}")


def compare(arguments: argparse.Namespace) -> None:
    experiment, out = _experiment(arguments)

    from experiments.runs.compare import compare
    from experiments.runs.forecast import forecast
    from experiments.runs.output import open_output

    if arguments.dry_run:
        print(forecast(open_output(experiment, out)))
    else:
        _draw(compare(experiment, out, arguments.command_line), out)


def assess(arguments: argparse.Namespace) -> None:
    from experiments.runs.assess import assessment

    experiment = assessment(arguments.base, arguments.tuned, arguments.text, arguments.domain)
    out = _begin(arguments, experiment)

    from experiments.runs.compare import compare

    _draw(compare(experiment, out, arguments.command_line), out)


def gate(arguments: argparse.Namespace) -> int:
    """The exit code of the verdict."""
    from experiments.runs.gate import gate, read

    record = read(arguments.config, arguments.overrides, arguments.out)
    text, code = gate(record, arguments.method, arguments.budget)
    print(text)
    return code


def sweep(arguments: argparse.Namespace) -> None:
    settings = load(arguments.config, "sweep", Sweep, arguments.overrides)
    if arguments.jobs < 1:
        raise UserError(f"--jobs: found {arguments.jobs}, expected at least 1")

    import jax

    jax.config.update("jax_platforms", "cpu")  # this process computes nothing: the accelerators are for the units

    from experiments.store.cache import occupied
    from experiments.sweep.sweep import sweep

    out = arguments.out or Path("runs") / settings.name
    arguments.stack.enter_context(occupied(out))
    record = sweep(settings, out, arguments.jobs, arguments.command_line)
    _draw(record, out)
    if failed := [label for label, unit in record.units.items() if unit.status != "done"]:
        first = (record.units[failed[0]].error or "").splitlines()[0]
        raise UserError(
            f"{len(failed)} of {len(record.units)} units failed; the same command tries them again.\n"
            f"{failed[0]}: {first}"
        )


def sequence(arguments: argparse.Namespace) -> None:
    sequence = load(arguments.config, "sequence", Sequence, arguments.overrides)
    out = _begin(arguments, sequence)

    from experiments.runs.sequence import learn_sequence

    _draw(learn_sequence(sequence, out, arguments.command_line), out)


def train(arguments: argparse.Namespace) -> None:
    run = _run(arguments)
    _ = run.trained
    print(f"trained: {run.folder}")


def calibrate(arguments: argparse.Namespace) -> None:
    experiment, out = _experiment(arguments)

    from experiments.runs.calibrate import ranks
    from experiments.runs.output import open_output
    from jaxft.methods import GradientProjection

    work = open_output(experiment, out)
    work.calibration.measure()
    for name, settings in work.experiment.methods.items():
        if isinstance(settings, GradientProjection):
            for line in ranks(work.bases(settings)):
                print(f"{name}  {line}")
    print(f"moments and bases: {work.calibration.files.folder}")


def evaluate(arguments: argparse.Namespace) -> None:
    run = _run(arguments)
    before, after = run.work.base_scores, run.scores(validation=False)
    print(run.label)
    for axis, scores in after.items():
        print(f"{axis}: {before[axis].mean:.4f} -> {scores.mean:.4f} ({len(scores.values)} examples)")


def export(arguments: argparse.Namespace) -> None:
    run = _run(arguments)

    from jaxft.methods import Lora

    print(f"model: {run.export(run.folder / 'model')}")
    if isinstance(run.method, Lora):
        print(f"adapter: {run.export_adapter(run.method, run.folder / 'adapter')}")


def certify(arguments: argparse.Namespace) -> None:
    run = _run(arguments)
    certificate = run.result().certificate
    if certificate is None:
        raise UserError(f"{arguments.config}: names no reference text to certify against")

    from experiments.report import movement
    from experiments.report.certificate import text

    print(f"{run.label}\n{text(certificate)}")
    if certificate.movement and certificate.movement.linears:
        print(f"plots: {movement.write(run.name, certificate, run.folder)}")


def report(arguments: argparse.Namespace) -> None:
    config = load_any(arguments.config, arguments.overrides)
    out = _begin(arguments, config, lock=False)

    from experiments.runs.output import differences
    from experiments.store.record import read_record

    path = out / "record.json"
    if not path.is_file():
        makes = {Sweep: "sweep", Sequence: "sequence"}.get(type(config), "compare")
        raise UserError(f"{path}: no record is there; `jaxft {makes} {arguments.config} --out {out}` makes it")
    record = read_record(path)
    for key in differences(record.config, to_json(config)):
        if any(f"{key}.".startswith(f"{word[2:].partition('=')[0]}.") for word in arguments.overrides):
            raise UserError(f"--{key}: differs from the record, which a report draws as it is; leave the option out")
    _draw(record, out)


def plan(arguments: argparse.Namespace) -> None:
    experiment = load_experiment(arguments.config, arguments.overrides)
    methods, rest = _methods(arguments, experiment), not arguments.method

    from experiments.runs.plan import plan

    topologies, rank, find, path = arguments.topology, arguments.rank, arguments.find, arguments.json
    print(plan(experiment, methods, topologies, rank, rest, find, path, arguments.command_line))


def judge_check(arguments: argparse.Namespace) -> None:
    experiment, out = _experiment(arguments)

    from experiments.evaluation.judges.check import SHIPPED, check, table

    print(table(check(experiment.judge, arguments.labelled or SHIPPED, out, arguments.command_line)))
    print(f"\nrecord: {out / 'judge_check.json'}")


def benchmark(arguments: argparse.Namespace) -> None:
    from experiments.benchmarks import benchmark, load_benchmark, table, write_chart

    settings = load_benchmark(arguments.config, arguments.overrides)
    out = arguments.out or Path("runs") / settings.name
    record = benchmark(settings, out, arguments.command_line)
    print(f"{table(record)}\nchart: {write_chart(record, out)}")


def data(arguments: argparse.Namespace) -> None:
    experiment = load_experiment(arguments.config, arguments.overrides)

    from experiments.data.describe import describe
    from experiments.data.show import show

    plain = arguments.show is None
    print(describe(experiment) if plain else show(experiment, arguments.show, colour=sys.stdout.isatty()))


def pretrain(arguments: argparse.Namespace) -> None:
    experiment = load_experiment(arguments.config, arguments.overrides)
    _begin(arguments, experiment, lock=False)

    from experiments.runs.pretrain import pretrain

    for axis, score in pretrain(experiment, arguments.command_line).items():
        print(f"{axis}: {score:.4f}")


def generate(arguments: argparse.Namespace) -> None:
    from experiments.generate import continue_text

    given = ("max_new_tokens", "temperature", "seed", "chat")
    print(continue_text(arguments.model, arguments.prompt, **{name: getattr(arguments, name) for name in given}))

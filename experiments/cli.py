"""The command line: `jaxft VERB CONFIG [--key.sub value ...]`."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
from collections.abc import Callable
from collections.abc import Sequence as Words
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

from absl import logging

from jaxft import preemption
from jaxft.config import Auto, Experiment, Hosted, Sequence, Sweep
from jaxft.errors import UserError

INTERRUPTED = 130
#: What the machine may refuse: a full, read-only or foreign folder. Anything else is a fault of the program.
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def main(words: Words[str] | None = None) -> int:
    """Run one command; 0 when done, 1 after a user's mistake, 75 after SIGTERM, 130 after Ctrl-C.

    Where one of several processes dies, JAX ends the others with 134 (SIGABRT), after a minute without a sign of life,
    and says which one was lost; where one alone stops with an error, it says so at once and all end with 134 after five
    minutes.
    """
    words = list(sys.argv[1:] if words is None else words)
    parser = _parser()
    arguments, overrides = parser.parse_known_args(words)
    # Orbax's threads log the traceback of every failed save, which is raised here as one error anyway.
    logging.set_verbosity(logging.FATAL)
    arguments.overrides, arguments.command_line = overrides, shlex.join(["jaxft", *words])
    try:
        with ExitStack() as stack:
            arguments.stack = stack
            stack.enter_context(preemption.as_exception())
            arguments.verb(arguments)
    except UserError as error:
        print(f"jaxft: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        print(f"jaxft: {error.filename or 'output'}: {error.strerror}; nothing half-written was kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\njaxft: interrupted; what is complete on disk stays, and the same command goes on from there",
            file=sys.stderr,
        )
        return INTERRUPTED
    except preemption.Preempted as stop:
        print(f"jaxft: {stop}", file=sys.stderr)
        return preemption.EXIT_CODE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jaxft", description=sys.modules["jaxft"].__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(
        name: str, run: Callable[[argparse.Namespace], None], text: str, config: bool = True
    ) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(verb=run)
        if config:
            sub.add_argument(
                "config", help="a Python file under configs/ or of yours; any of its keys can follow as --key.sub value"
            )
            sub.add_argument("--out", type=_folder, help="output folder (default: runs/<config name>)")
        return sub

    def one_run(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--method", help="name of a method in the config (default: the first)")

    sub = verb("compare", _compare, "train and measure every method, write record and report")
    sub.add_argument(
        "--dry-run", action="store_true", help="say what hosted systems would be sent and cost; send nothing"
    )
    sub = verb("sweep", _sweep, "compare every method under many changes of a config, into one record and report")
    sub.add_argument("--jobs", type=int, default=1, help="workers at once, each on its own accelerator (default: 1)")
    verb("sequence", _sequence, "train every method on several domains in turn, write record and report")
    one_run(verb("train", _train, "train one method at its first learning rate and seed"))
    verb("calibrate", _calibrate, "measure which directions the reference text uses")
    one_run(verb("evaluate", _evaluate, "measure the base and one trained method on every axis"))
    one_run(verb("export", _export, "write one trained method as a Hugging Face folder"))
    one_run(verb("certify", _certify, "state what one trained method leaked and how far it drifted"))
    verb("report", _report, "draw table, charts and page anew from a record")
    sub = verb("plan", _plan, "compile for TPU topologies and say what fits")
    sub.add_argument("--topology", action="append", help="v5e:4x4, h100:8; may be repeated; default: attached devices")
    sub.add_argument("--method", help="one method of the config (default: all, and calibration and generation)")
    sub.add_argument("--find", action="store_true", help="search the largest batch, and for v5e the smallest slice")
    sub.add_argument("--rank", type=int, default=512, help="protected directions to assume (default: 512)")
    sub.add_argument("--json", type=Path, help="file to write the record to")
    sub = verb("judge-check", _judge_check, "measure the config's judge against labelled replies")
    sub.add_argument("--labelled", type=Path, help="JSON lines (default: the replies that ship, beside the judges)")
    verb("benchmark", _benchmark, "measure speed and memory beside torch, transformers and peft where installed")
    verb("data", _data, "count and show the data of a config, and look for test data in what is trained on")
    verb("pretrain", _pretrain, "train a small base model from nothing")
    sub = verb("generate", _generate, "continue a text with a Hugging Face folder", config=False)
    sub.add_argument("--model", default="base", help='Hugging Face folder; "base" is the one that ships')
    sub.add_argument("--prompt", required=True)
    sub.add_argument("--max-new-tokens", type=int, default=64)
    sub.add_argument("--temperature", type=float, default=0.0, help="0 takes the most likely token")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--chat", action="store_true", help="put the prompt into the tokenizer's chat template")
    return parser


def _folder(text: str) -> Path:
    """A local path; pathlib would quietly make a folder named "gs:" of a bucket's address."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a local folder; mount the bucket (gcsfuse BUCKET FOLDER) and name its folder. "
            "tpu/run.sh --bucket does so on every worker"
        )
    return Path(text)


# Verbs. Their imports are inside and after the config, so that --help and mistakes in the words answer at once.


def _experiment(arguments: argparse.Namespace):  # noqa: ANN202 - (Experiment, Path), imported below
    from experiments.settings import load_experiment

    experiment = load_experiment(arguments.config, arguments.overrides)
    return experiment, _begin(arguments, experiment)


def _begin(arguments: argparse.Namespace, config: Experiment | Sweep | Sequence) -> Path:
    """The output folder of a config, once the devices are ready for its model and all processes agree on it."""
    from experiments.settings import to_json

    out = arguments.out or Path("runs") / config.name

    # Only now, that the words are right: JAX takes seconds to import.
    from experiments.provenance import versions
    from jaxft.distributed import check_same, is_leader, start
    from jaxft.sharding import make_mesh, use

    if start() and not is_leader():  # one of several processes: the first one alone tells results
        arguments.stack.enter_context(redirect_stdout(arguments.stack.enter_context(open(os.devnull, "w"))))
    check_same({"config": to_json(config), "--out": str(out), "versions": versions()})
    experiment = config if isinstance(config, Experiment) else config.experiment
    arguments.stack.enter_context(use(make_mesh(experiment.model.sharding)))
    return out


def _methods(arguments: argparse.Namespace, experiment: Experiment) -> list[str]:
    """The method that was asked for; all that are trained here where none was."""
    known = [name for name, method in experiment.methods.items() if not isinstance(method, Hosted)]
    if not known:
        raise UserError(f"{arguments.config}: names no methods that are trained here")
    if arguments.method and arguments.method not in known:
        raise UserError(f"--method: found {arguments.method!r}, expected one of {', '.join(known)}")
    return [arguments.method] if arguments.method else known


def _run(arguments: argparse.Namespace):  # noqa: ANN202 - Run, imported below
    experiment, out = _experiment(arguments)
    name = _methods(arguments, experiment)[0]

    from experiments.auto import AutoSearch
    from experiments.compare import open_output
    from experiments.run import Run

    settings = experiment.methods[name]
    assert not isinstance(settings, Hosted)
    work = open_output(experiment, out)
    if isinstance(settings, Auto):
        return AutoSearch(work, name, settings).found()[0]
    return Run(work, name, settings, settings.learning_rates[0], experiment.seeds[0])


def _compare(arguments: argparse.Namespace) -> None:
    experiment, out = _experiment(arguments)

    from experiments.compare import compare, open_output
    from experiments.forecast import forecast

    if arguments.dry_run:
        print(forecast(open_output(experiment, out)))
        return
    _draw(compare(experiment, out, arguments.command_line), out)


def _sweep(arguments: argparse.Namespace) -> None:
    from experiments.settings import load

    settings = load(arguments.config, "sweep", Sweep, arguments.overrides)
    out = arguments.out or Path("runs") / settings.name
    if arguments.jobs < 1:
        raise UserError(f"--jobs: found {arguments.jobs}, expected at least 1")

    import jax

    jax.config.update("jax_platforms", "cpu")  # this process computes nothing: accelerators are the workers'

    from experiments.sweep import sweep

    words = [arguments.config, *arguments.overrides]
    record = sweep(settings, out, arguments.jobs, words, arguments.command_line)
    _draw(record, out)
    if failed := [label for label, unit in record["units"].items() if unit["status"] != "done"]:
        first = record["units"][failed[0]]["error"].splitlines()[0]
        raise UserError(
            f"{len(failed)} of {len(record['units'])} units failed; the same command tries them again.\n"
            f"{failed[0]}: {first}"
        )


def _sequence(arguments: argparse.Namespace) -> None:
    from experiments.settings import load

    sequence = load(arguments.config, "sequence", Sequence, arguments.overrides)
    out = _begin(arguments, sequence)

    from experiments.sequence import learn_sequence

    _draw(learn_sequence(sequence, out, arguments.command_line), out)


def _train(arguments: argparse.Namespace) -> None:
    run = _run(arguments)
    _ = run.trained
    print(f"trained: {run.folder}")


def _calibrate(arguments: argparse.Namespace) -> None:
    experiment, out = _experiment(arguments)

    from experiments.calibrate import ranks
    from experiments.compare import open_output
    from jaxft.config import GradientProjection

    work = open_output(experiment, out)
    work.calibration.measure()
    for name, settings in work.experiment.methods.items():
        if isinstance(settings, GradientProjection):
            for line in ranks(work.bases(settings)):
                print(f"{name}  {line}")
    print(f"moments and bases: {work.calibration.files.folder}")


def _evaluate(arguments: argparse.Namespace) -> None:
    run = _run(arguments)
    before, after = run.work.base_scores, run.scores(validation=False)
    for axis, scores in after.items():
        print(f"{axis}: {before[axis].mean:.4f} -> {scores.mean:.4f} ({len(scores.values)} examples)")


def _export(arguments: argparse.Namespace) -> None:
    run = _run(arguments)

    from jaxft.distributed import agreed
    from jaxft.methods.lora import Lora
    from jaxft.methods.peft import save_adapter

    print(f"model: {run.export(run.folder / 'model')}")
    if isinstance(run.method, Lora):
        folder = run.folder / "adapter"
        if not agreed(folder.is_dir()):
            save_adapter(run.trained, run.method.settings.scaling, run.work.experiment.model.folder, folder)
        print(f"adapter: {folder}")


def _certify(arguments: argparse.Namespace) -> None:
    run = _run(arguments)
    certificate = run.result()["certificate"]

    from experiments.report import movement
    from experiments.report.reading import worst_leak

    if certificate is None:
        raise UserError(f"{arguments.config}: names no reference text to certify against")
    for when, part in (("after training", certificate), ("after export", certificate["exported"])):
        leaked, captured = worst_leak(part), min(space["captured_heldout"] for space in part["spaces"])
        print(
            f"{when}: largest |dW Q|/|dW| {leaked:.2e}  least held-out energy captured {captured:.4f}  "
            f"KL {part['logit_kl']:.3e} nat/token  largest logit change {part['logit_max_difference']:.3g}  "
            f"|dW|/|W| {part['relative_delta_norm']:.3e}"
        )
        if part["unprojected"]:
            print(f"  trained without projection: {', '.join(part['unprojected'])}")
    moved = {"methods": {run.name: {"certificate": certificate}}}
    if movement.moved(moved):  # not where nothing did, nor in results of earlier versions
        print(f"\n{movement.text(certificate)}\n\nplots: {movement.write(moved, run.folder)}")


def _report(arguments: argparse.Namespace) -> None:
    from experiments.settings import load_any

    out = _begin(arguments, load_any(arguments.config, arguments.overrides))

    from experiments.provenance import read_json

    _draw(read_json(out / "record.json"), out)


def _draw(record: dict[str, Any], out: Path) -> None:
    from experiments.report import draw

    text, path = draw(record, out)
    print(f"{text}\n\nreport: {path}")


def _plan(arguments: argparse.Namespace) -> None:
    from experiments.settings import load_experiment

    experiment = load_experiment(arguments.config, arguments.overrides)
    methods = _methods(arguments, experiment)

    from experiments.plan import plan

    print(
        plan(
            experiment,
            methods,
            arguments.topology,
            arguments.rank,
            not arguments.method,
            arguments.find,
            arguments.json,
            arguments.command_line,
        )
    )


def _judge_check(arguments: argparse.Namespace) -> None:
    experiment, out = _experiment(arguments)

    from experiments.judges.check import SHIPPED, check, table

    print(table(check(experiment.judge, arguments.labelled or SHIPPED, out, arguments.command_line)))
    print(f"\nrecord: {out / 'judge_check.json'}")


def _benchmark(arguments: argparse.Namespace) -> None:
    from experiments.benchmarks import benchmark, load_benchmark, table, write_chart

    settings = load_benchmark(arguments.config, arguments.overrides)
    out = arguments.out or Path("runs") / settings.name
    record = benchmark(settings, out, arguments.command_line)
    print(table(record))
    print(f"chart: {write_chart(record, out)}")


def _data(arguments: argparse.Namespace) -> None:
    from experiments.data import describe
    from experiments.settings import load_experiment

    print(describe(load_experiment(arguments.config, arguments.overrides)))


def _pretrain(arguments: argparse.Namespace) -> None:
    experiment, _ = _experiment(arguments)

    from experiments.pretrain import pretrain

    for axis, score in pretrain(experiment, arguments.command_line).items():
        print(f"{axis}: {score:.4f}")


def _generate(arguments: argparse.Namespace) -> None:
    from experiments.generate import continue_text

    if arguments.overrides:
        raise UserError(f"unknown option {arguments.overrides[0]!r}; see jaxft generate --help")
    print(
        continue_text(
            arguments.model,
            arguments.prompt,
            max_new_tokens=arguments.max_new_tokens,
            temperature=arguments.temperature,
            seed=arguments.seed,
            chat=arguments.chat,
        )
    )

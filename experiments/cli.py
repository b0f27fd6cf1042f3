"""The command line: `jaxft VERB CONFIG [--key.sub value ...]`."""

from __future__ import annotations

import argparse
import errno
import shlex
import sys
from collections.abc import Callable
from collections.abc import Sequence as Words
from contextlib import ExitStack
from pathlib import Path

from absl import logging

from experiments import verbs
from experiments.store.log import show_progress
from jaxft import preemption
from jaxft.errors import DoesNotFit, UserError

INTERRUPTED = 130
#: Errors of the machine: a full disk, or a read-only or foreign folder. Any other OSError is a fault of the program.
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def main(words: Words[str] | None = None) -> int:
    """Run one command. Returns 0 when done, 1 after a user's mistake, 75 after SIGTERM, 130 after Ctrl-C.

    If one of several processes dies, JAX ends the others with 134 (SIGABRT) after a minute without a heartbeat and
    names the lost one. If only one stops with an error, it reports it at once; all end with 134 after five minutes.
    """
    words = list(sys.argv[1:] if words is None else words)
    parser = _parser()
    arguments, overrides = parser.parse_known_args(words)
    # Orbax's threads log the traceback of every failed save, which is raised here as one error anyway.
    logging.set_verbosity(logging.FATAL)
    show_progress()
    arguments.overrides, arguments.command_line = overrides, shlex.join(["jaxft", *words])
    try:
        with ExitStack() as stack:
            arguments.stack = stack
            stack.enter_context(preemption.as_exception())
            arguments.verb(arguments)
    except UserError as error:
        hint = "\n`jaxft plan CONFIG --find` says what fits, here or on other devices." * isinstance(error, DoesNotFit)
        print(f"jaxft: {error}{hint}", file=sys.stderr)
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
    words = parser.add_subparsers(metavar="VERB", required=True)

    def verb(
        name: str, run: Callable[[argparse.Namespace], None], text: str, config: bool = True
    ) -> argparse.ArgumentParser:
        sub = words.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(verb=run)
        if config:
            sub.add_argument(
                "config", help="a Python file under configs/ or of yours; any of its keys can follow as --key.sub value"
            )
            sub.add_argument("--out", type=_folder, help="output folder (default: runs/<config name>)")
        return sub

    def one_run(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--method", help="name of a method in the config (default: the first)")

    sub = verb("compare", verbs.compare, "train and measure every method, write record and report")
    sub.add_argument(
        "--dry-run", action="store_true", help="say what hosted systems would be sent and cost; send nothing"
    )
    sub = verb("sweep", verbs.sweep, "compare every method under many changes of a config, into one record and report")
    sub.add_argument("--jobs", type=int, default=1, help="units at once, each on its own accelerator (default: 1)")
    verb("sequence", verbs.sequence, "train every method on several domains in turn, write record and report")
    one_run(verb("train", verbs.train, "train one method at its first learning rate and seed"))
    verb("calibrate", verbs.calibrate, "measure which directions the reference text uses")
    one_run(verb("evaluate", verbs.evaluate, "measure the base and one trained method on every axis"))
    one_run(verb("export", verbs.export, "write one trained method as a Hugging Face folder"))
    one_run(verb("certify", verbs.certify, "state what one trained method leaked and how far it drifted"))
    verb("report", verbs.report, "draw table, charts and page anew from a record")
    sub = verb("plan", verbs.plan, "compile for TPU topologies and say what fits")
    sub.add_argument("--topology", action="append", help="v5e:4x4, h100:8; may be repeated; default: attached devices")
    sub.add_argument("--method", help="one method of the config (default: all, and calibration and generation)")
    sub.add_argument("--find", action="store_true", help="search the largest batch, and for v5e the smallest slice")
    sub.add_argument("--rank", type=int, default=512, help="protected directions to assume (default: 512)")
    sub.add_argument("--json", type=Path, help="file to write the record to")
    sub = verb("judge-check", verbs.judge_check, "measure the config's judge against labelled replies")
    sub.add_argument("--labelled", type=Path, help="JSON lines (default: the replies that ship, beside the judges)")
    verb("benchmark", verbs.benchmark, "measure speed and memory beside torch, transformers and peft where installed")
    verb("data", verbs.data, "count and show the data of a config, and look for test data in what is trained on")
    verb("pretrain", verbs.pretrain, "train a small base model from nothing")
    sub = verb("generate", verbs.generate, "continue a text with a Hugging Face folder", config=False)
    sub.add_argument("--model", default="base", help='Hugging Face folder; "base" is the one that ships')
    sub.add_argument("--prompt", required=True)
    sub.add_argument("--max-new-tokens", type=int, default=64)
    sub.add_argument("--temperature", type=float, default=0.0, help="0 takes the most likely token")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--chat", action="store_true", help="put the prompt into the tokenizer's chat template")
    return parser


def _folder(text: str) -> Path:
    """A local path. Rejects a bucket's address, which pathlib would quietly turn into a folder named "gs:"."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a local folder; mount the bucket (gcsfuse BUCKET FOLDER) and name its folder. "
            "tpu/run.sh --bucket does so on every worker"
        )
    return Path(text)

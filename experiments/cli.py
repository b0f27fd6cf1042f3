"""The command line: `jaxft VERB CONFIG [--key.sub value ...]`. Nothing slow is imported before the words are read."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
from collections.abc import Sequence as Words
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jaxft
from jaxft import preemption
from jaxft.errors import DoesNotFit, UserError

INTERRUPTED = 130
#: Errors of the machine: a full disk, or a read-only or foreign folder. Any other OSError is a fault of the program.
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def main(words: Words[str] | None = None) -> int:
    """Run one command. Returns 0 when done, 1 after a user's mistake, 75 after SIGTERM, 130 after Ctrl-C.

    `jaxft gate` returns 3 for a model that should not ship, and 4 if the measurements are too few to say.

    If one of several processes dies, JAX ends the others with 134 (SIGABRT) after a minute without a heartbeat and
    names the lost one. If only one stops with an error, it reports it at once; all end with 134 after five minutes.
    """
    words = list(sys.argv[1:] if words is None else words)
    arguments, overrides = _parser().parse_known_args(words)
    arguments.overrides, arguments.command_line = overrides, shlex.join(["jaxft", *words])
    try:
        if overrides and "config" not in arguments:
            raise UserError(f"unknown option {overrides[0]!r}; see jaxft {arguments.verb} --help")

        from absl import logging

        from experiments import verbs
        from experiments.store.log import show_progress

        # Orbax's threads log every failed save, which is raised as an error anyway.
        logging.set_verbosity(logging.FATAL)
        show_progress()
        with ExitStack() as stack:
            arguments.stack = stack
            stack.enter_context(preemption.as_exception())
            return getattr(verbs, arguments.verb.replace("-", "_"))(arguments) or 0
    except UserError as error:
        hint = "\n`jaxft plan CONFIG --find` says what fits, here or on other devices." * isinstance(error, DoesNotFit)
        print(f"jaxft: {error}{hint}", file=sys.stderr)
        return 1
    except (RuntimeError, AssertionError) as error:
        if not _lacks_platform(error):
            raise
        found, reason = os.environ.get("JAX_PLATFORMS"), str(error).partition(" (set ")[0] or "its plugin is missing"
        expected = "platforms that this machine has, such as 'cpu', or nothing, so that JAX chooses"
        print(f"jaxft: JAX_PLATFORMS: found {found!r}, expected {expected}.\nJAX: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        print(f"jaxft: {error.filename or 'output'}: {error.strerror}; nothing half-written was kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\njaxft: interrupted; what is complete on disk stays, and the same command continues from there, "
            "training from its last checkpoint",
            file=sys.stderr,
        )
        return INTERRUPTED
    except preemption.Preempted as stop:
        print(f"jaxft: {stop}", file=sys.stderr)
        return preemption.EXIT_CODE


def _lacks_platform(error: Exception) -> bool:
    """True if an error says that JAX could not start on the platforms of JAX_PLATFORMS."""
    if "Unable to initialize backend" in str(error):
        return True
    import jax

    try:
        return not jax.devices()
    except AssertionError:  # a plugin that is not installed
        return True


def _folder(text: str) -> Path:
    """A local path. Rejects a bucket's address, which pathlib would quietly turn into a folder named "gs:"."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected a local folder; mount the bucket (gcsfuse BUCKET FOLDER) and name its folder. "
            "tpu/run.sh --bucket does so on every worker"
        )
    return Path(text)


def _option(*names: str, **settings: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The words of one `add_argument`."""
    return names, settings


_CONFIG = (
    _option("config", help="a Python file under configs/ or of yours; any of its keys can follow as --key.sub value"),
    _option("--out", type=_folder, help="output folder (default: runs/<config name>)"),
)
_READ = _CONFIG[:1]  # for verbs that write nothing into an output folder
_RUN = (*_CONFIG, _option("--method", help="name of a method in the config (default: the first)"))
#: Verb -> its line of help, and its options. The function of this name in verbs.py runs it ("_" for "-").
VERBS = {
    "compare": (
        "train and measure every method, write record and report",
        *_CONFIG,
        _option("--dry-run", action="store_true", help="say what hosted systems would be sent and cost; send nothing"),
    ),
    "assess": (
        "say what a fine-tune of any trainer forgot, without a config",
        _option("base", help='the model it was made from: a Hugging Face folder, or "base"'),
        _option("tuned", help="the fine-tune: a Hugging Face folder, or a peft adapter"),
        _option("--text", help="file with text that should stay as it is, in addition to the shipped text"),
        _option("--domain", help="file with text of the domain that was learnt"),
        _option("--out", type=_folder, help="output folder (default: runs/assess_<name of the fine-tune>)"),
    ),
    "gate": (
        "SHIP or DON'T SHIP: compare the loss of every axis with a budget; exit code 0, 3, or 4 if unsure",
        _option("config", metavar="CONFIG_OR_RECORD", help="a config, whose record is read, or a record.json"),
        _option("--out", type=_folder, help="output folder of the config (default: runs/<config name>)"),
        _option("--method", help="name of a method in the record (default: all)"),
        _option("--budget", type=float, default=0.01, help="largest loss, relative to the base (default: 0.01, 1 %%)"),
    ),
    "sweep": (
        "compare every method under many changes of a config, into one record and report",
        *_CONFIG,
        _option("--jobs", type=int, default=1, help="units at once, each on its own accelerator (default: 1)"),
    ),
    "sequence": ("train every method on several domains in turn, write record and report", *_CONFIG),
    "train": ("train one method at its first learning rate and seed", *_RUN),
    "calibrate": ("measure which directions the reference text uses", *_CONFIG),
    "evaluate": ("measure the base and one trained method on every axis", *_RUN),
    "export": ("write one trained method as a Hugging Face folder", *_RUN),
    "certify": ("state what one trained method leaked and how far it drifted", *_RUN),
    "report": ("draw table, charts and page anew from a record", *_CONFIG),
    "plan": (
        "compile for TPUs that are not here, or estimate for GPUs, and say what fits",
        *_READ,
        _option("--topology", action="append", help="v5e:4x4, h100:8; may be repeated; default: attached devices"),
        _option("--method", help="one method of the config (default: all, and calibration and generation)"),
        _option("--find", action="store_true", help="search the largest batch, and for v5e the smallest slice"),
        _option("--rank", type=int, default=512, help="protected directions to assume (default: 512)"),
        _option("--json", type=Path, help="file to write the record to"),
    ),
    "judge-check": (
        "measure the config's judge against labelled replies",
        *_CONFIG,
        _option("--labelled", type=Path, help="JSON lines (default: the shipped replies)"),
    ),
    "benchmark": ("measure speed and memory, compared with torch, transformers and peft where installed", *_CONFIG),
    "data": (
        "count and show the data of a config, and look for test data in what is trained on",
        *_READ,
        _option(
            "--show",
            type=int,
            nargs="?",
            const=3,
            metavar="N",
            help="instead print the first N examples (default: 3) as the model sees them: learnt text, control tokens",
        ),
    ),
    "pretrain": ("train a small base model from nothing", *_CONFIG),
    "generate": (
        "continue a text with a model",
        _option(
            "--model",
            default="base",
            help="a folder, org/name[@revision] on the Hub, file.gguf, a PEFT folder, smollm2 or base (default: "
            '"base", the shipped one)',
        ),
        _option("--prompt", required=True, help="text to continue, or with --chat the user's message"),
        _option("--max-new-tokens", type=int, default=64, help="tokens to write at most (default: 64)"),
        _option("--temperature", type=float, default=0.0, help="0 takes the most likely token (default: 0)"),
        _option("--seed", type=int, default=0, help="of the sampling (default: 0)"),
        _option("--chat", action="store_true", help="put the prompt into the tokenizer's chat template"),
    ),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxft",
        usage="jaxft VERB CONFIG [--key.sub value ...]",
        description=jaxft.__doc__,
        epilog="Any key of a config can be changed: --key.sub value, as --training.steps 200. Options of a verb: "
        "jaxft VERB --help. Configs: configs/README.md.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(metavar="VERB", dest="verb", required=True, prog="jaxft")
    for name, (text, *options) in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text, allow_abbrev=False)
        for names, settings in options:
            verb.add_argument(*names, **settings)
    return parser

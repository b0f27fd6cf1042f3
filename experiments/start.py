"""The start of the program: huge pages, quiet accelerators, ASCII terminals, closed pipes, an early Ctrl-C."""

from __future__ import annotations

import codecs
import os
import select
import signal
import sys
from glob import glob
from typing import Any

#: XLA on CPU frees the temporaries of a step after it. Faulting them in again in pages of 4 KiB takes a quarter of a
#: step of the shipped base and half a step of stories260K. glibc reads this variable only at the start of a process.
TUNABLE = "glibc.malloc.hugetlb"
#: Device files of TPUs, NVIDIA's and AMD's GPUs. Without any, JAX would still try every plugin, which print warnings.
ACCELERATORS = ("/dev/accel*", "/dev/vfio/[0-9]*", "/dev/nvidia*", "/dev/dxg", "/dev/kfd")
#: ASCII for characters of reports and of texts; any other becomes an escape such as \u4e2d.
ASCII = {"±": "+-", "²": "^2", "…": "...", "’": "'", "“": '"', "”": '"'}


def main() -> int:
    """Run the command line in a process with huge pages; returns its exit status."""
    alone = "SLURM_STEP_NUM_TASKS" not in os.environ  # with "cpu", a cluster of CPUs would not be looked for
    if sys.platform == "linux" and alone and not any(map(glob, ACCELERATORS)):
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform == "linux" and TUNABLE not in tunables:
        environment = {**os.environ, "GLIBC_TUNABLES": ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))}
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C waits until the new process can answer it
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    for stream in (sys.stdout, sys.stderr):
        _print_what_the_terminal_can(stream)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        from experiments import cli

        try:
            return cli.main()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("\njaxft: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        if not [stream for stream in (sys.stdout, sys.stderr) if _closed(stream)]:
            raise
        return 128 + signal.SIGPIPE  # as after any program that a closed pipe ends


def _print_what_the_terminal_can(stream: Any) -> None:
    """Let a stream that lacks a character print ASCII. In the locale C, Python would print UTF-8."""
    named = os.environ.get("LC_ALL") or os.environ.get("LANG")
    if named in ("C", "POSIX") and not {"PYTHONIOENCODING", "PYTHONUTF8"} & {*os.environ}:
        stream.reconfigure(encoding="ascii")
    if codecs.lookup(stream.encoding).name != "utf-8":
        codecs.register_error("ascii", _ascii)
        stream.reconfigure(errors="ascii")


def _ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(ASCII.get(one, ascii(one)[1:-1]) for one in characters), error.end


def _closed(stream: Any) -> bool:
    """True if the reader of a stream is gone; what is still to be printed is then thrown away."""
    asked = select.poll()
    asked.register(stream.fileno(), 0)
    if gone := bool(asked.poll(0)):  # an error is reported unasked
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return gone


if __name__ == "__main__":
    sys.exit(main())

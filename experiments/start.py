"""The program's start: the same program once more, where glibc does not back memory with huge pages yet."""

from __future__ import annotations

import os
import sys

#: XLA on CPU gives the temporaries of a step back after it; faulting them in again by pages of 4 KiB takes a quarter of
#: a step of the base that ships, and half of one of stories260K. glibc reads this at the start of a process alone.
TUNABLE = "glibc.malloc.hugetlb"


def main() -> int:
    """What `experiments.cli.main` returns."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform == "linux" and TUNABLE not in tunables:
        environment = {**os.environ, "GLIBC_TUNABLES": ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)

    from experiments import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

"""The start of the program, which restarts itself once so that glibc backs memory with huge pages."""

from __future__ import annotations

import os
import sys

#: XLA on CPU frees the temporaries of a step after it. Faulting them in again in pages of 4 KiB takes a quarter of a
#: step of the shipped base and half a step of stories260K. glibc reads this variable only at the start of a process.
TUNABLE = "glibc.malloc.hugetlb"


def main() -> int:
    """Run the command line in a process with huge pages; returns its exit status."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform == "linux" and TUNABLE not in tunables:
        environment = {**os.environ, "GLIBC_TUNABLES": ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)

    from experiments import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

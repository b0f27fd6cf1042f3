"""Commands as one of several processes: `python -m tests.experiments.two_processes FOLDER COMMANDS`.

COMMANDS is JSON: a list of command lines, each a list of words, done one after the other in one process; the word
PROCESS stands for its number. The last line of standard error is JSON: "codes", what each command returned, and
"written", which files below FOLDER this process opened for writing, renamed to or removed. Left out are checkpoints,
of which every process writes its own part, and what libraries write that are not in Python.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from experiments.cli import main

#: Seconds that every process but the first takes for a look at a file: what the first one writes too early shows.
LAG = 0.02


def watch(folder: str) -> list[str]:
    """A list that grows by every file below `folder` that is written, renamed to or removed from now on."""
    written: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int):
            path = arguments[0] if arguments[2] & (os.O_WRONLY | os.O_RDWR) else None
        else:
            place = {"os.rename": 1, "os.remove": 0, "os.rmdir": 0, "shutil.rmtree": 0}.get(event)
            path = None if place is None else arguments[place]
        if isinstance(path, str | Path) and str(path).startswith(folder) and "/checkpoints/" not in str(path):
            written.append(str(path))

    sys.addaudithook(note)
    return written


def look_late(folder: str) -> None:
    """From now on this process looks at the files below `folder` a little later than it might."""

    def late(look: Any) -> Any:
        def looked(self: Path, *arguments: Any, **named: Any) -> Any:
            if str(self).startswith(folder):
                time.sleep(LAG)
            return look(self, *arguments, **named)

        return looked

    for name in ("exists", "is_dir", "is_file", "iterdir", "read_text"):
        setattr(Path, name, late(getattr(Path, name)))


if __name__ == "__main__":
    folder, number = sys.argv[1], os.environ["JAXFT_PROCESS"]
    if number != "0":
        look_late(folder)
    written = watch(folder)
    codes = [main([number if word == "PROCESS" else word for word in words]) for words in json.loads(sys.argv[2])]
    print(json.dumps({"codes": codes, "written": written}), file=sys.stderr)

"""The library knows nothing of the command line that is built on it: its errors carry facts."""

from __future__ import annotations

import re
from pathlib import Path

import jaxft

#: A flag, as in "--training.steps", but not pip's; a command, as in "`jaxft plan"; the variable of the lab's test data.
FORBIDDEN = re.compile(r"(?<![\w-])(?<!pip install )--[a-z]|`jaxft [a-z]|JAXFT_TEST_DATA")


def test_no_flag_no_command_and_no_test_data() -> None:
    files = sorted(Path(jaxft.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    found = [f"{path}: {match[0]}" for path in files for match in FORBIDDEN.finditer(path.read_text())]
    assert not found
    assert FORBIDDEN.search("lower --max-new-tokens") and FORBIDDEN.search("see `jaxft plan`")

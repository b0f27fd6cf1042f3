from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.remembering import Store, fingerprint
from jaxft.errors import UserError
from tests.experiments.evaluation.conftest import HOSTILE
from tests.experiments.world import REPOSITORY

WRITER = """
import sys
from pathlib import Path
from experiments.evaluation.judges.remembering import Store
store = Store(Path(sys.argv[1]))
for number in range(10**9):
    store.add(str(number), "evades", "why " * 50)
    print(number, flush=True)
"""


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "verdicts.jsonl"
    store = Store(path)
    assert store.get("a") is None
    store.add("a", "evades", "line one\nline two \ud800")
    assert store.get("a") == Store(path).get("a") == ("evades", "line one\nline two \ud800")


def test_a_torn_last_line_is_dropped_wherever_it_broke(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    for name in "ab":
        Store(path).add(name, "evades", name)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        store = Store(path)
        assert store.get("a") and not store.get("b")
        store.add("c", "refuses", "")
        assert Store(path).get("a") and Store(path).get("c") == ("refuses", "")


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout
    said = [int(writer.stdout.readline()) for _ in range(200)][-1]
    writer.kill()
    writer.communicate()
    store = Store(path)
    assert all(store.get(str(number)) for number in range(said + 1))


@pytest.mark.parametrize("line", ["{", "[]", '{"key": "a", "label": "evades"}', ""])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "verdicts.jsonl"
    Store(path).add("a", "evades", "")
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(UserError, match=r"verdicts.jsonl, line 2: not a verdict .* delete this line"):
        Store(path)


def test_the_fingerprint_depends_on_everything() -> None:
    its = rubric.load("safety")
    others = [
        fingerprint("other", its, HOSTILE),
        fingerprint("judge", rubric.load("knowledge"), HOSTILE),
        fingerprint("judge", replace(its, task="Judge."), HOSTILE),
        fingerprint("judge", replace(its, version=2), HOSTILE),
        *(fingerprint("judge", its, replace(HOSTILE, **{name: "x"})) for name in ("prompt", "reference", "reply")),
        fingerprint("judge", its, replace(HOSTILE, key={"kind": "harmless"})),
    ]
    assert len({fingerprint("judge", its, HOSTILE), *others}) == len(others) + 1
    assert fingerprint("judge", its, HOSTILE) == fingerprint("judge", its, replace(HOSTILE))

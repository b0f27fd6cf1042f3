"""The cache makes a result once, also after a kill; one process works in an output folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.store.cache import LOCK, Busy, cached, cached_json, cached_path, digest, locked, occupied
from jaxft.errors import UserError
from jaxft.io import write_atomically
from tests.experiments.world import REPOSITORY, World, one_error

#: Makes a folder of two files, slowly: the second one is written when the file "go" exists next to the folder.
MAKER = """
import sys, time
from pathlib import Path
from experiments.store.cache import cached

def make(path):
    path.mkdir()
    (path / "first").write_text("1")
    with (folder / "calls").open("a") as calls:
        calls.write("x")
    while not (folder / "go").exists():
        time.sleep(0.01)
    (path / "second").write_text("2")

folder = Path(sys.argv[1])
print(cached(folder, {"of": 1}, make, "result_{}"))
"""

HOLDER = """
import sys, time
from pathlib import Path
from experiments.store.cache import occupied

with occupied(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def start(program: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-c", program, str(folder)]
    return subprocess.Popen(words, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for(event: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120  # generous: the machine may be busy
    while not event():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fail(path: Path) -> None:
    pytest.fail("made twice")


def test_digest_ignores_the_order_of_keys_alone() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_a_result_is_made_once_for_each_key(tmp_path: Path) -> None:
    keys = [{"a": 1}, {"a": 2}, {"b": 1}, [1], None]
    paths = [cached(tmp_path, key, lambda path, key=key: path.write_text(repr(key)), "{}.txt") for key in keys]
    assert len(set(paths)) == len(keys) == len(list(tmp_path.iterdir()))  # and no lock, no scratch folder
    for key, path in zip(keys, paths, strict=True):
        assert path == cached_path(tmp_path, key, "{}.txt") == cached(tmp_path, key, fail, "{}.txt")
        assert path.suffix == ".txt" and path.read_text() == repr(key)


def test_json_is_computed_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    assert cached_json(path, lambda: {"a": [1, None]}) == {"a": [1, None]} == cached_json(path, lambda: fail(path))


def test_what_cannot_be_completed_yet_is_tried_again(tmp_path: Path) -> None:
    path = cached(tmp_path, 1, lambda path: None)
    assert not path.exists()
    assert cached(tmp_path, 1, lambda path: path.write_text("now")) == path and path.read_text() == "now"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, UserError, OSError(28, "No space left on device")])
def test_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException] | OSError) -> None:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("")
        raise error

    with pytest.raises(UserError if isinstance(error, OSError) else error):
        cached(tmp_path, 1, make)
    assert not list(tmp_path.iterdir())


def test_an_error_names_the_result_and_not_the_scratch_file(tmp_path: Path) -> None:
    def refused(path: Path) -> None:
        raise UserError(f"{path}: is full")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path / 'x'))}: is full$"):
        cached(tmp_path, None, refused, "x")
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path / 'x'))}: cannot be written .No space left"):
        cached(tmp_path, None, full, "x")


def test_a_killed_maker_leaves_no_half_result_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    maker = start(MAKER, tmp_path)
    path = cached_path(tmp_path, {"of": 1}, "result_{}")
    scratch = tmp_path / f".{path.name}.partial"
    wait_for(lambda: (scratch / path.name / "first").exists())
    maker.send_signal(signal.SIGKILL)
    maker.communicate()
    assert not path.exists() and scratch.exists()
    cached(tmp_path, {"of": 1}, lambda made: made.write_text("anew"), "result_{}")
    assert path.read_text() == "anew"
    assert {file.name for file in tmp_path.iterdir()} == {path.name, "calls"}


def test_two_processes_make_the_same_result_once(tmp_path: Path) -> None:
    makers = [start(MAKER, tmp_path) for _ in range(2)]
    wait_for((tmp_path / "calls").exists)
    time.sleep(1)  # for the second one to come to the lock
    path = cached_path(tmp_path, {"of": 1}, "result_{}")
    assert not path.exists()
    (tmp_path / "go").touch()
    said = [maker.communicate(timeout=120)[0].strip() for maker in makers]
    assert said == [str(path)] * 2 and (tmp_path / "calls").read_text() == "x"
    assert {file.name for file in path.iterdir()} == {"first", "second"}
    assert {file.name for file in tmp_path.iterdir()} == {path.name, "calls", "go"}


def test_many_threads_hold_a_lock_one_after_the_other(tmp_path: Path) -> None:
    """Also while its file is removed and made anew."""
    inside, most, together = 0, 0, threading.Barrier(8)

    def work() -> None:
        nonlocal inside, most
        together.wait()
        for _ in range(5):
            with locked(tmp_path / "x"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(work) for _ in range(8)]:
            job.result()
    assert most == 1 and not list(tmp_path.iterdir())


def test_a_result_of_another_key_need_not_wait(tmp_path: Path) -> None:
    with locked(cached_path(tmp_path, 1)):
        assert cached(tmp_path, 2, lambda path: path.write_text("")).exists()


def test_a_folder_in_use_is_refused_at_once_and_its_holder_named(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    holder = start(HOLDER, folder)
    assert holder.stdout and holder.stdout.readline() == "held\n"
    began = time.monotonic()
    with pytest.raises(Busy) as raised, occupied(folder):
        pass
    assert time.monotonic() - began < 10
    year = time.strftime("%Y-")
    assert re.match(
        f"{folder}: another process is at work here .pid {holder.pid} on .* since {year}", str(raised.value)
    )
    holder.kill()
    holder.communicate()
    with occupied(folder):  # the system let go of it
        assert str(os.getpid()) in (folder / LOCK).read_text()


def test_a_folder_in_which_nothing_was_done_is_removed(tmp_path: Path) -> None:
    with occupied(tmp_path / "deep" / "out"):
        pass
    assert not list(tmp_path.iterdir())
    with occupied(tmp_path / "out"):
        (tmp_path / "out" / "x").write_text("")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x"]
    with pytest.raises(UserError, match="x: is a file; choose a folder with --out"), occupied(tmp_path / "out" / "x"):
        pass


def test_what_killed_runs_left_half_written_is_deleted(tmp_path: Path) -> None:
    own, unit = tmp_path / "lora" / "seed_0", tmp_path / "units" / "one"
    for folder in (own, unit):
        (folder / ".model.partial-1a2b").mkdir(parents=True)
        write_atomically(folder / ".record.json.partial-1a2b", b"half")
        write_atomically(folder / "test.json", b"whole")
    (unit / LOCK).touch()  # another process may be at work there
    with occupied(tmp_path):
        assert {path.name for path in own.iterdir()} == {"test.json"}
        assert len(list(unit.iterdir())) == 4


@pytest.mark.parametrize("verb", ["compare", "calibrate", "train", "sweep"])
def test_a_command_refuses_a_folder_in_use(world: World, tmp_path: Path, capsys, verb: str) -> None:
    with occupied(tmp_path / "out"):
        assert world.run(verb, tmp_path / "out") == 1
        message = one_error(capsys)
        assert f"{tmp_path / 'out'}: another process is at work here (pid {os.getpid()} on " in message
        assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCK]

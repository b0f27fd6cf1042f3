"""A sweep as a user runs it: stopped, killed and started again, with one worker and with two."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.config import Sweep
from experiments.config_loader import load
from experiments.report import sweep_page, sweep_table, write_sweep_report
from experiments.store.record import decode, encode
from experiments.sweep.places import Place
from experiments.sweep.record import sweep_record
from experiments.sweep.sweep import sweep as sweep_module
from experiments.sweep.units import units
from jaxft.errors import UserError
from tests.experiments.report import builder
from tests.experiments.world import World, one_error, snapshot

SLOW, FAST = "lora, learning_rates 0.001", "lora, learning_rates 0.01"


def numbers(out: Path) -> dict[str, Any]:
    """All of a record that another way must reproduce: everything but clocks and the command."""
    record = json.loads((out / "record.json").read_text())
    for key in ("command", "created", "timings"):
        del record[key]
    for unit in record["units"].values():
        unit.get("result", {}).pop("timings", None)
    return record


def swept(world: World, out: Path, *more: str) -> tuple[int, str, str]:
    """(status, what it said, its messages) of one sweep in a process of its own."""
    process = world.start("sweep", out, *more)
    said, messages = process.communicate(timeout=600)
    return process.returncode, said, messages


def folder_of(world: World, out: Path, label: str) -> Path:
    (unit,) = (unit for unit in units(load(world.config, "sweep", Sweep), out) if unit.label == label)
    return unit.folder


@pytest.fixture(scope="module")
def grown(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of one worker, one of whose units failed at first; read only."""
    out = tmp_path_factory.mktemp("sweeps") / "grown"
    in_the_way = folder_of(world, out, SLOW)
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    status, said, messages = swept(world, out)
    assert status == 1 and "Traceback" not in messages
    assert "1 of 3 units failed; the same command tries them again." in messages and "is a file" in messages
    assert "sweep: 3/3 units, 1 failed" in messages and "grown: 2 of 3 units are done, 1 failed" in said
    assert [unit["status"] for unit in numbers(out)["units"].values()] == ["failed", "done", "done"]
    in_the_way.unlink()
    before = snapshot(folder_of(world, out, "projection"))
    status, said, messages = swept(world, out)
    assert status == 0 and "sweep: 3 units, 2 done" in messages, messages
    assert "grown: 3 of 3 units are done" in said and f"report: {out / 'report.html'}" in said
    assert snapshot(folder_of(world, out, "projection")) == before
    return out


def test_the_record_has_every_unit(grown, world) -> None:
    record = json.loads((grown / "record.json").read_text())
    assert record["kind"] == "sweep" and record["command"].startswith("jaxft sweep ")
    assert list(record["units"]) == [SLOW, "projection", FAST] and record["hardware"]["devices"] >= 1
    for unit in (unit["result"] for unit in record["units"].values()):
        assert unit["axes"].keys() == {"proficiency", "safety", "knowledge"}
        assert {"before", "after", "change_interval", "negative_flips"} <= unit["axes"]["safety"].keys()
        assert unit["memory"]["peak_bytes"] > unit["memory"]["trained_bytes"] > 0 and unit["delta_norm"] > 0
        certificate = unit["certificate"]
        assert 0 <= certificate["worst_leak"] <= 1 and certificate["logit_kl"] >= 0
        assert 0 <= certificate["exported_leak"] <= 1 and certificate["logit_kl_interval"] is not None
        assert len(certificate["movement"]["shares"]) == 10 and certificate["movement"]["linears"] == {}
        assert unit["timings"]["step_milliseconds"] > 0
        assert not {"examples", "spaces"} & (unit.keys() | unit["certificate"].keys())
    assert record["units"][SLOW]["changes"] == {"methods.lora.learning_rates": [0.001]}
    assert [unit["result"]["reference"] for unit in record["units"].values()] == ["none", "before training", "none"]


def test_a_unit_is_a_comparison_of_its_own_and_keeps_no_weights(grown, world) -> None:
    folder = folder_of(world, grown, "projection")
    alone = json.loads((folder / "record.json").read_text())["methods"]["projection"]
    unit = numbers(grown)["units"]["projection"]["result"]
    assert unit["axes"]["knowledge"]["after"] == alone["axes"]["knowledge"]["after"]
    assert not [*grown.glob("**/model"), *grown.glob("**/checkpoints")]
    assert not (folder / "base_test.json").exists() and len(list(grown.glob("shared/base/*/base_test.json"))) == 1


def test_when_all_is_done_nothing_is_started(grown, world, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "copy"
    shutil.copytree(grown, out)
    monkeypatch.setattr(sweep_module, "_supervise", None)
    assert world.run("sweep", out) == 0
    assert numbers(out) == numbers(grown)
    assert (out / "table.txt").read_text() in capsys.readouterr().out + "\n"


def test_the_report_is_drawn_from_the_record_alone(grown, world, tmp_path, capsys) -> None:
    shutil.copy(grown / "record.json", tmp_path)
    assert world.run("report", tmp_path) == 0
    assert f"report: {tmp_path / 'report.html'}" in capsys.readouterr().out
    for name in ("table.txt", "report.html"):
        assert (tmp_path / name).read_text() == (grown / name).read_text()


def killed_workers(out: Path) -> None:
    """Kill every worker that is at work, as a machine does that runs out of memory."""
    for lock in out.glob("units/*.lock"):
        if (text := lock.read_text()) and not lock.with_suffix("").joinpath("record.json").exists():
            try:
                os.kill(int(text), signal.SIGKILL)
            except ProcessLookupError:
                pass


@pytest.mark.slow  # workers are processes, each of which starts JAX
def test_killed_anywhere_with_two_workers_the_table_is_the_same(grown, world, tmp_path) -> None:
    out = tmp_path / "killed"
    milestones = [
        "shared/base/*/base_test.json",
        "shared/calibration/*/layer_001.safetensors",
        "units/*/*/*/seed_0/checkpoints/2",
        "units/*/*/*/seed_0/model",
        "units/*/record.json",
    ]
    first = random.randrange(len(milestones) - 1)
    for milestone in (milestones[first], milestones[random.randrange(first + 1, len(milestones))]):
        status, _ = world.signalled(
            signal.SIGKILL, lambda m=milestone: bool(list(out.glob(m))), "sweep", out, "--jobs", "2"
        )
        assert status == -signal.SIGKILL and not (out / "record.json").exists(), milestone
    status, _, messages = swept(world, out, "--jobs", "2")
    assert status == 0, messages
    assert numbers(out) == numbers(grown), milestones[first]


@pytest.mark.slow  # workers are processes, each of which starts JAX
def test_a_worker_that_dies_takes_one_unit_with_it(grown, world, tmp_path) -> None:
    out = tmp_path / "out"
    shutil.copytree(grown, out)
    for label in (SLOW, FAST):
        shutil.rmtree(folder_of(world, out, label))
    process = world.start("sweep", out)
    deadline = time.monotonic() + 300
    while not list(folder_of(world, out, SLOW).glob("lora/*/*/metrics.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed_workers(out)
    said, messages = process.communicate(timeout=300)
    assert process.returncode == 1 and "1 of 3 units failed" in messages, messages
    failed = numbers(out)["units"][SLOW]
    assert failed["status"] == "failed" and "the worker ended with signal 9; see " in failed["error"]
    assert numbers(out)["units"][FAST] == numbers(grown)["units"][FAST]


@pytest.mark.slow  # workers are processes, each of which starts JAX
def test_told_to_stop_it_stops_its_workers(world, tmp_path) -> None:
    out = tmp_path / "out"
    begun = lambda: any(lock.read_text() for lock in out.glob("units/*.lock"))  # noqa: E731
    code, messages = world.signalled(signal.SIGTERM, begun, "sweep", out)
    assert code == 75 and "the same command goes on from there" in messages and "Traceback" not in messages
    (lock,) = out.glob("units/*.lock")
    with pytest.raises(ProcessLookupError):
        os.kill(int(lock.read_text()), 0)
    assert not (out / "record.json").exists() and not list(out.glob("units/*.failed.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--experiment.training.stepz", "3"], "did you mean --experiment.training.steps?"),
        (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
        (["--experiment.training.steps", "0"], "learning_rates 0.001: training.steps: found 0, expected at least 1"),
        (["--experiment.model.sharding.preset", "fsdp", "--jobs", "2"], "--jobs: each worker has one accelerator"),
        (["--experiment.judge.kind", "openai", "--jobs", "2"], "--jobs: a judge behind a server is asked"),
        (["--experiment.evaluation.matched", "inf,"], "evaluation.matched: found"),
    ],
)
def test_mistakes_leave_nothing_behind(world, tmp_path, capsys, words, message) -> None:
    out = tmp_path / "out"
    assert world.run("sweep", out, *words) == 1
    assert message in one_error(capsys)
    assert not out.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="cores are chosen on Linux alone")
def test_a_worker_keeps_to_its_cores(tmp_path) -> None:
    one = frozenset([min(os.sched_getaffinity(0))])
    worker = sweep_module._start(Place(dict(os.environ), one), ["/no/config.py", str(tmp_path), ""], tmp_path / "log")
    try:
        assert os.sched_getaffinity(worker.process.pid) == one
    finally:
        sweep_module._pipe(worker).close()
        worker.process.wait()


def test_a_worker_that_cannot_begin_is_no_endless_loop(world, tmp_path) -> None:
    found = units(load(world.config, "sweep", Sweep), tmp_path)
    (tmp_path / "units").mkdir()
    with pytest.raises(UserError, match=r"a worker ended with status 1 before it began a unit; see .*worker_0\.log"):
        sweep_module._supervise(
            found, [Place(dict(os.environ))], ["/no/config.py", str(tmp_path), ""], tmp_path / "logs"
        )
    assert "no such config file" in (tmp_path / "logs" / "worker_0.log").read_text()


def test_two_hundred_units_are_drawn_in_seconds(world, tmp_path) -> None:
    sweep = load(world.config, "sweep", Sweep)
    grid = {"training.steps": tuple(range(1, 51)), "methods.lora.alpha": (1.0, 2.0, 3.0)}
    found = units(Sweep("large", sweep.experiment, grid), tmp_path)
    assert len(found) == 200
    made = builder.many(200)
    for unit, method in zip(found[:-1], made["methods"].values(), strict=False):
        unit.folder.mkdir(parents=True)
        methods = {unit.method: {**method, "kind": unit.method}}
        (unit.folder / "record.json").write_text(json.dumps({**made, "methods": methods}))
    found[-1].fail("UserError: <script> of mine\nand more")
    began = time.process_time()
    record = sweep_record(sweep, found, "jaxft sweep large.py")
    text = json.dumps(encode(record))
    assert len(text) < 2_000_000
    paths = write_sweep_report(decode(json.loads(text), "large"), tmp_path / "report")
    assert time.process_time() - began < 15
    assert [path.name for path in paths] == ["report.html", "table.txt", "front_safety.png", "front_knowledge.png"]
    page = sweep_page(record, {})
    assert "199 of 200 units are done, 1 failed" in page and "&lt;script&gt; of mine" in page
    assert "training.steps 50" in sweep_table(record) and len(record.matched) == 1
    assert "dominated" in page and page == sweep_page(record, {})


def test_nothing_done_is_a_record_too(world, tmp_path) -> None:
    sweep = load(world.config, "sweep", Sweep)
    record = sweep_record(sweep, units(sweep, tmp_path), "jaxft sweep x.py")
    assert record.versions is None and record.matched == ()
    assert "0 of 3 units are done, 3 open" in sweep_table(record) and "3 open" in sweep_page(record, {})

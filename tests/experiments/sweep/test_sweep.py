"""A sweep as a user runs it: stopped, killed and started again, with one unit at once and with two."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.config import Sweep
from experiments.config_loader import load
from experiments.report import sweep_page, sweep_table, write_sweep_report
from experiments.store.cache import occupied
from experiments.store.record import decode, encode
from experiments.sweep import sweep as sweep_module
from experiments.sweep.places import Place
from experiments.sweep.record import sweep_record
from experiments.sweep.units import units
from tests.experiments.report import builder
from tests.experiments.sweep import stand_in
from tests.experiments.world import World, one_error, snapshot

pytestmark = pytest.mark.xdist_group("grown")  # a whole sweep, made once with `--dist loadgroup`
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


def at_work(out: Path) -> list[int]:
    """Process ids of the units that are at work."""
    return [int(lock.read_text().split()[1]) for lock in out.glob("units/.*.lock") if lock.read_text()]


def folder_of(world: World, out: Path, label: str) -> Path:
    (unit,) = (unit for unit in units(load(world.config, "sweep", Sweep), out) if unit.label == label)
    return unit.folder


@pytest.fixture(scope="module")
def sweep(world: World) -> Sweep:
    return load(world.config, "sweep", Sweep)


@pytest.fixture(scope="module")
def grown(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of one unit at once, one of which failed at first; read only."""
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
    monkeypatch.setattr(sweep_module, "_work", None)
    assert world.run("sweep", out) == 0
    assert numbers(out) == numbers(grown)
    assert (out / "table.txt").read_text() in capsys.readouterr().out + "\n"


def test_the_report_is_drawn_from_the_record_alone(grown, world, tmp_path, capsys) -> None:
    shutil.copy(grown / "record.json", tmp_path)
    assert world.run("report", tmp_path) == 0
    assert f"report: {tmp_path / 'report.html'}" in capsys.readouterr().out
    for name in ("table.txt", "report.html"):
        assert (tmp_path / name).read_text() == (grown / name).read_text()


@pytest.mark.slow  # every unit's process starts JAX
def test_killed_anywhere_with_two_units_at_once_the_table_is_the_same(grown, world, tmp_path) -> None:
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


@pytest.mark.slow  # every unit's process starts JAX
def test_a_process_that_is_killed_takes_one_unit_with_it(grown, world, tmp_path) -> None:
    out = tmp_path / "out"
    shutil.copytree(grown, out)
    for label in (SLOW, FAST):
        shutil.rmtree(folder_of(world, out, label))
    process = world.start("sweep", out)
    deadline = time.monotonic() + 300
    while not list(folder_of(world, out, SLOW).glob("lora/*/*/metrics.jsonl")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    (pid,) = at_work(out)
    os.kill(pid, signal.SIGKILL)  # as a machine does that runs out of memory
    said, messages = process.communicate(timeout=300)
    assert process.returncode == 1 and "1 of 3 units failed" in messages, messages
    failed = numbers(out)["units"][SLOW]
    log = out / "logs" / f"{failed['folder']}.log"
    assert failed["status"] == "failed" and failed["error"] == f"its process ended with signal 9; see {log}"
    assert f"unit: {SLOW}" in log.read_text()
    assert numbers(out)["units"][FAST] == numbers(grown)["units"][FAST]


@pytest.mark.slow  # every unit's process starts JAX
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_units_end_with_the_sweep(world, tmp_path, sign) -> None:
    out, found = tmp_path / "out", []

    def begun() -> bool:
        found[:] = at_work(out)
        return bool(found)

    code, messages = world.signalled(sign, begun, "sweep", out)
    assert code == {signal.SIGTERM: 75, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[sign], messages
    if sign != signal.SIGKILL:
        assert "the same command continues from there" in messages and "Traceback" not in messages
    deadline = time.monotonic() + (60 if sign == signal.SIGKILL else 0)  # nobody waits for them when it is killed
    while Path(f"/proc/{found[0]}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not (out / "record.json").exists() and not list(out.glob("units/*.failed.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--experiment.training.stepz", "3"], "did you mean --experiment.training.steps?"),
        (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
        (["--experiment.training.steps", "0"], "--experiment.training.steps: found 0, expected at least 1"),
        (["--experiment.model.sharding.preset", "fsdp", "--jobs", "2"], "--jobs: each unit has one accelerator"),
        (["--experiment.judge.kind", "openai", "--jobs", "2"], "--jobs: a judge behind a server is asked"),
        (["--experiment.evaluation.matched", "inf,"], "evaluation.matched: found"),
    ],
)
def test_mistakes_leave_nothing_behind(world, tmp_path, capsys, words, message) -> None:
    out = tmp_path / "out"
    assert world.run("sweep", out, *words) == 1
    assert message in one_error(capsys)
    assert not out.exists()


def test_a_unit_that_fails_is_noted_and_the_next_one_done(sweep, tmp_path) -> None:
    wrong, cut, *_ = units(sweep, tmp_path)
    (tmp_path / "logs").mkdir()
    cut.log.mkdir()  # so that its process cannot begin
    sweep_module._work([replace(wrong, experiment=None), cut], [Place({})], tmp_path, "")
    assert wrong.error == f"AttributeError: 'NoneType' object has no attribute 'model'; see {wrong.log}"
    assert "Traceback" in wrong.log.read_text()
    assert cut.error == f"its process ended with status 1; see {cut.log}"
    wrong.reopen()
    assert wrong.state == "open"


def test_two_at_once_do_every_unit_once_each_at_its_own_place(sweep, tmp_path, monkeypatch) -> None:
    found = units(replace(sweep, grid={"training.steps": tuple(range(1, 9))}), tmp_path)
    monkeypatch.setattr(sweep_module, "work", stand_in.work)
    sweep_module._work(found, [Place({"PLACE": name}) for name in ("left", "right")], tmp_path, "")
    assert {unit.state for unit in found} == {"done"} and len(found) == 16


def test_a_folder_where_another_sweep_is_at_work_is_refused(world, tmp_path, capsys) -> None:
    with occupied(tmp_path):
        assert world.run("sweep", tmp_path) == 1
    assert "another process is at work here" in one_error(capsys)


def test_two_hundred_units_are_drawn_in_seconds(sweep, tmp_path) -> None:
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


def test_nothing_done_is_a_record_too(sweep, tmp_path) -> None:
    record = sweep_record(sweep, units(sweep, tmp_path), "jaxft sweep x.py")
    assert record.versions is None and record.matched == ()
    assert "0 of 3 units are done, 3 open" in sweep_table(record) and "3 open" in sweep_page(record, {})

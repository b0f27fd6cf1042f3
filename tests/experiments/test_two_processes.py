"""The whole way over two processes that share one folder: the results of one device, each written once."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoConfig

from experiments.cli import main
from jaxft.data.tokenizer import load_tokenizer
from jaxft.llama.checkpoint import load
from tests.experiments.world import REPOSITORY, World

pytestmark = [
    pytest.mark.slow,  # a dozen commands, each by two processes and by one
    pytest.mark.xdist_group("ways"),  # made once with `--dist loadgroup`
]

ROWS = ("--training.batch_rows", "8", "--reference.batch_rows", "8", "--evaluation.batch_size", "8")
MESH = ("--model.sharding.preset", "fsdp")
LORA = "lora/lr_0.001/seed_0"


class Process(NamedTuple):
    """What one of the processes did and said."""

    codes: list[int]
    written: list[str]
    out: str
    err: str


class Ways(NamedTuple):
    """Where two processes on a mesh and one process on one device put the same results, and what the two did."""

    two: Path
    one: Path
    leader: Process
    other: Process


def commands(config: Path, folder: Path, *settings: str) -> dict[str, list[str]]:
    """The verbs of a user's day, in order; the second and the third are refused."""

    def words(verb: str, *more: str) -> list[str]:
        return [verb, str(config), "--out", str(folder / "out"), *more, *ROWS, *settings]

    return {
        "compare": words("compare"),
        "another config": words("compare", "--training.steps", "5"),
        "not the same": words("compare", "--seeds", "PROCESS"),
        "export": words("export", "--method", "lora"),
        "export again": words("export", "--method", "lora"),
        "evaluate": words("evaluate", "--method", "projection"),
        "certify": words("certify", "--method", "projection"),
        "calibrate": words("calibrate"),
        "report": words("report"),
        "pretrain": words("pretrain", "--pretrain.output", str(folder / "made")),
    }


def together(folder: Path, done: list[list[str]]) -> list[Process]:
    """Two processes with 4 devices each do the same commands."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAXFT_COORDINATOR": f"localhost:{port}",
        "JAXFT_PROCESSES": "2",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "True",  # compiling takes longest
        # The machine may be busy, and the processes ready at quite different times.
        "XLA_FLAGS": "--xla_cpu_collective_timeout_seconds=600",
    }
    words = [sys.executable, "-m", "tests.experiments.two_processes", str(folder), json.dumps(done)]
    pair = [
        subprocess.Popen(
            words,
            cwd=REPOSITORY,
            env={**environment, "JAXFT_PROCESS": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        said = [process.communicate(timeout=600) for process in pair]
    finally:
        for process in pair:
            process.kill()
            process.communicate()
    assert [process.returncode for process in pair] == [0, 0], said
    return [Process(**json.loads(err.splitlines()[-1]), out=out, err=err) for out, err in said]


@pytest.fixture(scope="module")
def ways(world: World, tmp_path_factory: pytest.TempPathFactory) -> Ways:
    """One seed, two methods on two linears, of which one has two learning rates, and two axes."""
    text = Path(world.config).read_text()
    for pattern, new, count in (
        (r"seeds=\(0, 1\)", "seeds=(0,)", 1),
        (r'\n +"(full|knowledge)": .*', "", 2),
        (r"(rank=2|kfac_outputs=True)\)", r'\1, targets=("q", "down"))', 3),  # once in its sweep
    ):
        text, changed = re.subn(pattern, new, text)
        assert changed == count
    config = tmp_path_factory.mktemp("config") / "pair.py"
    config.write_text(text)
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    leader, other = together(two, list(commands(config, two, *MESH).values()))
    alone = commands(config, one)
    for name in ("compare", "export", "certify", "pretrain"):
        assert main(alone[name]) == 0
    return Ways(two, one, leader, other)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "record.json").read_text())


def assert_near(found: Path, wanted: Path, bound: float) -> None:
    """Two safetensors files hold the same tensors, in norm."""
    mine, theirs = load_file(found), load_file(wanted)
    assert mine.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert np.linalg.norm(mine[name] - tensor) <= bound * np.linalg.norm(tensor), name


def test_both_go_the_same_way(ways: Ways) -> None:
    assert ways.leader.codes == ways.other.codes == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    for process in (ways.leader, ways.other):
        assert process.err.count("belongs to a run with another config") == 1
        assert "(different: config.training.steps)" in process.err
        assert "jaxft: config: not the same in process 1 as in process 0; give every process" in process.err


def test_the_leader_alone_writes_and_tells(ways: Ways) -> None:
    assert ways.other.written == []
    assert [line for line in ways.other.out.splitlines() if line and not line.startswith("[Gloo]")] == []
    assert "base  proficiency" in ways.leader.err and "base  proficiency" not in ways.other.err
    for line in (f"report: {ways.two}/out/report.html", f"adapter: {ways.two}/out/{LORA}/adapter", "after export: "):
        assert line in ways.leader.out
    times = Counter(str(Path(path).relative_to(ways.two)) for path in ways.leader.written)
    once = ("config.json", "base_test.json", "record.json", f"{LORA}/test.json", f"{LORA}/adapter", f"{LORA}/model")
    assert {name: times[f"out/{name}"] for name in once} == dict.fromkeys(once, 1)
    # By `compare` and by `report`.
    drawn = ("report.html", "table.txt", "proficiency.png")
    assert {name: times[f"out/{name}"] for name in drawn} == dict.fromkeys(drawn, 2)
    assert times[f"out/{LORA}/checkpoints"] > 0  # removed: another learning rate was chosen; `export` made them anew


def test_both_folders_hold_the_same_files(ways: Ways) -> None:
    def files(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if "checkpoints/" not in str(path)}

    assert files(ways.two) == files(ways.one)
    assert not list((ways.two / "out").rglob(".*"))  # no lock, no scratch file


def test_the_record_is_that_of_one_device(ways: Ways) -> None:
    found, wanted = record(ways.two), record(ways.one)
    for key in ("axes", "data", "base", "seeds", "versions"):
        assert found[key] == wanted[key]
    assert found["hardware"]["devices"] == wanted["hardware"]["devices"] == 8
    assert list(found["methods"]) == list(wanted["methods"]) == ["lora", "projection"]
    for name, theirs in wanted["methods"].items():
        mine = found["methods"][name]
        for key in ("kind", "learning_rate", "trained_parameters", "examples"):
            assert mine[key] == theirs[key], key
        for axis in wanted["axes"]:
            for key in ("before", "after", "change"):
                assert mine["axes"][axis][key] == pytest.approx(theirs["axes"][axis][key], abs=1e-4)
        for a, b in zip(mine["rates"], theirs["rates"], strict=True):
            for part in ("validation", "test"):
                assert a.pop(part) == pytest.approx(b.pop(part), abs=1e-4)
            assert a == pytest.approx(b, abs=1e-4)
        assert mine["delta_norm"] == pytest.approx(theirs["delta_norm"], rel=1e-4)
        for a, b in zip(mine["certificate"]["spaces"], theirs["certificate"]["spaces"], strict=True):
            assert a["rank"] == b["rank"] and a["captured_heldout"] == pytest.approx(b["captured_heldout"], rel=1e-5)
            assert a["leak"].keys() == b["leak"].keys()
    ours = found["methods"]["projection"]["certificate"]
    assert max(leak for space in ours["spaces"] for leak in space["leak"].values()) < 1e-5
    assert found["methods"]["lora"]["rates"] and found["matched"][0].keys() == wanted["matched"][0].keys()


def test_the_exports_are_those_of_one_device(ways: Ways) -> None:
    for folder in (f"out/{LORA}", "out/lora/lr_0.01/seed_0", "out/projection/lr_0.001/seed_0"):
        mine, theirs = ways.two / folder / "model", ways.one / folder / "model"
        assert_near(mine / "model.safetensors", theirs / "model.safetensors", 1e-5)
        assert load(mine).config == load(theirs).config
        assert (mine / "config.json").read_text() == (theirs / "config.json").read_text()
        assert AutoConfig.from_pretrained(mine).hidden_size == 16
        assert len(load_tokenizer(mine)) == load(mine).config.vocab_size
    mine, theirs = (folder / "out" / LORA / "adapter" for folder in (ways.two, ways.one))
    assert_near(mine / "adapter_model.safetensors", theirs / "adapter_model.safetensors", 1e-4)
    assert (mine / "adapter_config.json").read_text() == (theirs / "adapter_config.json").read_text()


def test_a_base_made_by_two_processes(ways: Ways) -> None:
    mine, theirs = ways.two / "made", ways.one / "made"
    assert_near(mine / "model.safetensors", theirs / "model.safetensors", 1e-4)
    assert (mine / "tokenizer.json").read_text() == (theirs / "tokenizer.json").read_text()
    found, wanted = (json.loads((folder / "provenance.json").read_text()) for folder in (mine, theirs))
    assert found["test"] == pytest.approx(wanted["test"], abs=1e-4)

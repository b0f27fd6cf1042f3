"""Domains learnt one after the other: the record, what later ones are kept out of, resumption, refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.cli import main
from experiments.config import Endpoint, Hosted, Sequence
from experiments.config_loader import load
from experiments.runs import accumulated, calibrate, measured, run
from experiments.runs import sequence as module
from experiments.runs.accumulated import Accumulated
from experiments.runs.sequence import Plan, check_sequence
from jaxft.errors import UserError
from jaxft.llama.checkpoint import content_hash
from jaxft.subspace.basis import load_bases, rank_for_energy
from jaxft.subspace.moments import LayerMoments, MomentFiles
from tests.experiments.conftest import Done
from tests.experiments.runs.sequence_world import write_sequence
from tests.experiments.world import World, one_error, snapshot

AXES = ["rooms", "tables", "knowledge"]
RATES = {"lora": "lr_0.01", "projection": "lr_0.001"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sequence(World.create(tmp_path_factory.mktemp("world")))


@pytest.fixture(scope="module")
def learnt(config: str, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A whole sequence; read only."""
    out = tmp_path_factory.mktemp("runs") / "learnt"
    assert main(["sequence", config, "--out", str(out)]) == 0
    return Done(out, json.loads((out / "record.json").read_text()))


def stages(learnt: Done, method: str) -> list[dict[str, Any]]:
    return learnt.record["methods"][method]["stages"]


def moments(folder: Path) -> MomentFiles:
    """The one folder of moments below another."""
    (path,) = folder.glob("*/moments.json")
    return MomentFiles(path.parent)


def test_every_axis_is_measured_after_every_stage(learnt) -> None:
    record = learnt.record
    assert record["stages"] == ["rooms", "tables"] and list(record["axes"]) == AXES == list(record["before"])
    assert list(record["methods"]) == ["lora", "projection"]
    for method in record["methods"].values():
        assert [stage["stage"] for stage in method["stages"]] == record["stages"]
        for stage in method["stages"]:
            assert list(stage["scores"]) == AXES and all(value > 0 for value in stage["scores"].values())
            assert stage["seeds"] == [{"seed": 0, "scores": stage["scores"]}]
        before = record["before"]
        for stage in method["stages"]:  # each learns its own
            assert stage["scores"][stage["stage"]] < before[stage["stage"]]
            before = stage["scores"]
    assert {name.split("/")[-2] for name in record["data"]} >= {"domain.jsonl", "tables.jsonl", "tables_test.jsonl"}
    assert list(record["contamination"]["tables"]) == AXES
    assert record["contamination"]["tables"]["tables"]["domain"]["examples"] == 4


def test_backward_transfer_is_what_the_earlier_domains_lost(learnt) -> None:
    for method in learnt.record["methods"].values():
        first, last = (stage["scores"] for stage in method["stages"])
        assert method["backward_transfer"] == pytest.approx(last["rooms"] - first["rooms"])


def test_a_stage_starts_from_what_the_one_before_exported(learnt) -> None:
    for method, rate in RATES.items():
        first = learnt.out / "1_rooms" / method / rate / "seed_0"
        second = learnt.out / "2_tables" / method / "seed_0"
        assert json.loads((second / "config.json").read_text())["config"]["model"]["folder"] == str(first / "model")
        found = json.loads((second / method / rate / "seed_0" / "test.json").read_text())
        assert stages(learnt, method)[1]["scores"]["tables"] == found["proficiency"]["mean"]


def test_moments_extend_by_union(learnt) -> None:
    """A stage's moments are the mean of the reference's and the earlier domain's, its bases follow from them."""
    run = learnt.out / "1_rooms" / "projection" / RATES["projection"] / "seed_0"
    parts = [moments(learnt.out / "1_rooms" / "calibration"), moments(run / "domain")]
    union = moments(learnt.out / "2_tables" / "projection" / "seed_0" / "calibration")
    assert union.description["parts"] == [
        {name: value for name, value in part.description.items() if name != "tokens"} for part in parts
    ]
    assert union.description["tokens"] == sum(part.description["tokens"] for part in parts)
    for index in range(2):
        whole, one, other = union.read(index), *(part.read(index) for part in parts)
        for group in ("inputs", "heldout", "outputs"):
            for name, moment in getattr(whole, group).items():
                share = 0.5 if group == "outputs" else 1.0
                expected = share * (getattr(one, group)[name] + getattr(other, group)[name])
                np.testing.assert_allclose(moment, expected, rtol=1e-6, err_msg=f"{group} {name}")
        assert set(whole.outputs) == {"q", "k", "v", "o", "gate", "up", "down"}
    # the domain was measured with the model that had just learnt it, the reference text with the base
    assert parts[1].description["model"] == content_hash(run / "model")
    assert parts[0].description["model"] == learnt.record["base"]["sha256"]
    (path,) = union.folder.glob("bases_*.safetensors")
    for space, basis in load_bases(path).items():
        for layer, rank in enumerate(basis.ranks):
            assert rank == rank_for_energy(np.linalg.eigvalsh(union.read(layer).inputs[space])[::-1], 0.5)


def test_every_part_counts_alike(tmp_path, monkeypatch) -> None:
    """Whatever their tokens; inputs are summed and output gradients averaged, where they are asked for."""
    widths, parts = {"inputs": 2, "heldout": 2, "outputs": 3}, []
    for number in range(3):
        files = MomentFiles(tmp_path / str(number))
        files.folder.mkdir()
        files.write(0, LayerMoments(**{group: {"x": np.eye(n) * 3.0**number} for group, n in widths.items()}))
        files.finish({"tokens": 10**number})
        parts.append(
            SimpleNamespace(
                files=files, measure=lambda: None, description={"n": number}, reference=None, text=None, written=[]
            )
        )
    for both in (True, False):
        monkeypatch.setattr(accumulated, "two_sided", lambda _, both=both: both)
        base: Any = SimpleNamespace(sha256="1", model=SimpleNamespace(config=SimpleNamespace(num_layers=1)))
        union = Accumulated(None, base, tmp_path / "union", parts)  # pyright: ignore[reportArgumentType]
        union.measure()
        layer = union.files.read(0)
        np.testing.assert_allclose(layer.inputs["x"], np.eye(2) * 13)
        np.testing.assert_allclose(layer.heldout["x"], np.eye(2) * 13)
        for moment in layer.outputs.values():
            np.testing.assert_allclose(moment, np.eye(3) * 13 / 3)
        assert len(layer.outputs) == both and union.files.description["tokens"] == 111


def test_what_protects_nothing_keeps_the_reference_alone(learnt) -> None:
    own = moments(learnt.out / "2_tables" / "lora" / "seed_0" / "calibration")
    first = moments(learnt.out / "1_rooms" / "calibration")
    assert not list(learnt.out.glob("**/lora/**/domain"))
    for space, moment in own.read(0).inputs.items():
        np.testing.assert_allclose(moment, first.read(0).inputs[space])


def test_certificates_against_the_stage_and_against_the_first_base(learnt) -> None:
    projection, lora = stages(learnt, "projection"), stages(learnt, "lora")
    for stage in projection:
        assert max(leak for space in stage["certificate"]["spaces"] for leak in space["leak"].values()) < 1e-5
    for first, *later in (projection, lora):
        assert first["against_first"]["delta_norm"] == pytest.approx(first["certificate"]["delta_norm"], rel=1e-3)
        for before, stage in zip([first, *later], later, strict=False):
            # in the triangle of the base, the model before and the model after
            a, b, c = (
                before["against_first"]["delta_norm"],
                stage["certificate"]["delta_norm"],
                stage["against_first"]["delta_norm"],
            )
            assert abs(a - b) - 1e-4 <= c <= a + b + 1e-4
            assert stage["against_first"]["logit_kl"] >= 0


def test_the_report_is_written(learnt) -> None:
    table = (learnt.out / "table.txt").read_text()
    assert "KL to the first base" in table and "backward transfer of projection: " in table
    assert [line.split()[:2] for line in table.splitlines() if line.startswith("projection")] == [
        ["projection", name] for name in ("rooms", "tables")
    ]
    assert "jaxft sequence" in (learnt.out / "table.md").read_text()
    assert (learnt.out / "sequence.png").stat().st_size > 1000


def test_the_report_is_drawn_from_the_record_alone(learnt, config, tmp_path, capsys) -> None:
    shutil.copy(learnt.out / "record.json", tmp_path)
    assert main(["report", config, "--out", str(tmp_path)]) == 0
    assert f"report: {tmp_path / 'sequence.png'}" in capsys.readouterr().out
    for name in ("table.txt", "table.md", "sequence.png"):
        assert (tmp_path / name).read_bytes() == (learnt.out / name).read_bytes()


def test_a_second_call_redoes_nothing(learnt, config, tmp_path, monkeypatch) -> None:
    before = snapshot(learnt.out)
    for name in ("measure_axes", "certify_model"):
        monkeypatch.setattr(measured, name, None)
    for place, name in ((run, "train"), (run, "measure_axes"), (calibrate, "stream_moments")):
        monkeypatch.setattr(place, name, None)
    monkeypatch.setattr(module, "certify_model", None)
    assert main(["sequence", config, "--out", str(learnt.out)]) == 0
    after = snapshot(learnt.out)
    changed = {name for name in after if after[name] != before.get(name)} | before.keys() - after.keys()
    assert changed <= {"table.txt", "table.md", "sequence.png"}


def test_it_goes_on_where_it_was_stopped(learnt, config, tmp_path, monkeypatch) -> None:
    """A stage that was not reached is done, from moments that no text is read for, and gives the same numbers."""
    out = tmp_path / "again"
    shutil.copytree(learnt.out, out)
    shutil.rmtree(out / "2_tables")
    monkeypatch.setattr(calibrate, "stream_moments", None)
    assert main(["sequence", config, "--out", str(out)]) == 0
    found = json.loads((out / "record.json").read_text())
    for name, method in learnt.record["methods"].items():
        for one, other in zip(found["methods"][name]["stages"], method["stages"], strict=True):
            assert one["scores"] == pytest.approx(other["scores"], rel=1e-6)


def test_the_experiment_of_every_stage(config) -> None:
    plan = Plan(load(config, "sequence", Sequence))
    for number, name in enumerate(plan.names):
        experiment = plan.experiment(number)
        assert experiment.evaluation.axes["proficiency"] == plan.axes[name]
        assert set(experiment.evaluation.axes) == {"proficiency", *AXES} - {name}
        values = {axis: axis for axis in experiment.evaluation.axes}
        assert plan.named(number, values) == {axis: "proficiency" if axis == name else axis for axis in AXES}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'Stage("tables"',
            'Stage("knowledge"',
            "stages: found 'knowledge', expected a name that no other stage and no axis has",
        ),
        ('Stage("tables"', 'Stage("rooms"', "stages: found 'rooms'"),
        ('first="rooms"', 'first="a/b"', "first: found 'a/b', expected a name that can be a folder's"),
        ('"proficiency": Axis', '"known": Axis', "evaluation.axes: no axis named 'proficiency'"),
        ('first="rooms"', 'first="proficiency"', "stages: found 'proficiency'"),
        ('(file("tables"),)', "()", "domain: found (), expected at least one Source"),
        ('file("tables"),', 'file("none"),', "does not exist"),
        ("sequence = ", "other = ", "defines no `sequence = Sequence(...)`"),
        ("stages=(\n", "stages=() and (\n", "stages: found (), expected at least one more domain"),
    ],
)
def test_refusals_leave_nothing_behind(config, tmp_path, capsys, old, new, message) -> None:
    text = Path(config).read_text()
    assert old in text
    path = tmp_path / "broken.py"
    path.write_text(text.replace(old, new))
    assert main(["sequence", str(path), "--out", str(tmp_path / "out")]) == 1
    assert message in one_error(capsys)
    assert not (tmp_path / "out").exists()


def test_a_provider_keeps_its_weights(config) -> None:
    sequence = load(config, "sequence", Sequence)
    hosted = Hosted("openai", Endpoint("m"), (1.0,))
    broken = replace(sequence, experiment=replace(sequence.experiment, methods={"theirs": hosted}))
    with pytest.raises(UserError, match="methods.theirs: a provider keeps its weights"):
        check_sequence(broken)


def test_another_config_is_refused(learnt, config, capsys) -> None:
    assert main(["sequence", config, "--out", str(learnt.out), "--experiment.training.steps", "5"]) == 1
    assert "belongs to a run with another config" in one_error(capsys)

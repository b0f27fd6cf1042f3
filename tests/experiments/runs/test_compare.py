"""The whole comparison on a tiny world: its record, its resumption, its rule for learning rates."""

from __future__ import annotations

import json
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.config_loader import load_experiment, to_json
from experiments.evaluation.scores import Scores
from experiments.runs import compare, measured, output, run
from jaxft.methods import Lora
from tests.experiments.world import one_error, snapshot

AXES = ("proficiency", "safety", "knowledge")


def numbers(record: dict[str, Any]) -> dict[str, Any]:
    """All of a record that another invocation must reproduce: everything but clocks and the command."""
    kept = json.loads(json.dumps(record))
    for key in ("command", "created", "timings"):
        del kept[key]
    for method in kept["methods"].values():
        del method["timings"]
    return kept


def test_the_record_has_every_key(done, world) -> None:
    record = done.record
    assert (
        record["format"] == 2
        and record["kind"] == "comparison"
        and record["name"] == "world"
        and record["seeds"] == [0, 1]
    )
    assert record["command"].startswith("jaxft compare ") and world.config in record["command"]
    assert record["config"] == to_json(load_experiment(world.config))
    assert record["base"]["parameters"] == 9360 and len(record["base"]["sha256"]) == 64
    assert {name: axis["metric"] for name, axis in record["axes"].items()} == {
        "proficiency": "loss",
        "safety": "accuracy",
        "knowledge": "loss",
    }
    assert record["data"][f"{world.folder}/domain.jsonl/train"]["examples"] == 12
    assert record["data"]["safety/test[:3]"]["examples"] == 3
    assert {"python", "jax"} <= record["versions"].keys() and record["hardware"]["devices"] >= 1
    assert record["contamination"]["proficiency"]["domain"]["examples"] == 8 and record["judge"] is None
    assert record["timings"]["total_seconds"] > 0
    assert [level.keys() for level in record["matched"]] == [{"proficiency", "given", "changes"}]
    assert list(record["methods"]) == ["full", "lora", "projection"]


@pytest.mark.parametrize("name", ["full", "lora", "projection"])
def test_every_method_has_every_key(done, name) -> None:
    method = done.record["methods"][name]
    assert method.keys() == {
        "kind",
        "learning_rate",
        "rates",
        "axes",
        "delta_norm",
        "reference",
        "memory",
        "certificate",
        "timings",
        "trained_parameters",
        "examples",
    }
    assert method["timings"].keys() == {"train_seconds", "tokens_per_second", "step_milliseconds"}
    memory = method["memory"]
    assert memory.keys() == {"peak_bytes", "trained_bytes", "optimizer_bytes", "constants_bytes"}
    assert memory["trained_bytes"] == 4 * method["trained_parameters"] < memory["optimizer_bytes"]
    assert memory["peak_bytes"] > memory["optimizer_bytes"] + memory["constants_bytes"]
    assert (memory["constants_bytes"] > 0) == (name == "projection") == (method["reference"] != "none")
    assert method["delta_norm"] > 0 and method["trained_parameters"] > 0
    for part in (method["certificate"], method["certificate"]["exported"]):
        drift = {"logit_kl", "logit_kl_interval", "logit_max_difference", "relative_drift", "hidden_drift"}
        expected = {*drift, "domain", "unprojected", "delta_norm", "relative_delta_norm", "spaces"}
        assert part.keys() - {"exported", "movement"} == expected and part["domain"].keys() == drift
        for where in (part, part["domain"]):
            low, high = where["logit_kl_interval"]
            assert 0 <= low <= high and low * 0.999 <= where["logit_kl"] <= high * 1.001
        assert part["spaces"][0].keys() == {"space", "layer", "width", "rank", "captured_heldout", "leak"}
    for axis in AXES:
        found = method["axes"][axis]
        assert found.keys() == {
            *(
                "before",
                "after",
                "change",
                "relative_change",
                "p_value",
                "negative_flips",
                "positive_flips",
                "examples",
                "p_value_holm",
                "unjudged",
                "groups",
            ),
            *("before_interval", "after_interval", "change_interval", "seeds"),
            *(("labels",) if axis == "safety" else ()),
        }
        assert found["change"] == pytest.approx(found["after"] - found["before"])
        assert found["after"] == pytest.approx(np.mean([seed["after"] for seed in found["seeds"]]))
        assert [seed["seed"] for seed in found["seeds"]] == [0, 1]
    assert 0 <= method["axes"]["safety"]["before"] <= 1 and 0 <= method["axes"]["safety"]["after"] <= 1
    assert method["axes"]["proficiency"]["after"] < method["axes"]["proficiency"]["before"]
    assert method["axes"]["proficiency"]["examples"] == 8


def test_learning_rates_are_swept_where_there_are_several(done) -> None:
    methods = done.record["methods"]
    assert methods["full"]["rates"] == [] == methods["projection"]["rates"]
    small, large = methods["lora"]["rates"]
    assert (small["learning_rate"], large["learning_rate"]) == (0.001, 0.01)
    assert (small["chosen"], large["chosen"]) == (False, True)  # none reaches the target; the larger comes nearer
    assert methods["lora"]["learning_rate"] == 0.01
    assert small["validation"].keys() == small["test"].keys() == set(AXES) and small["delta_norm"] > 0
    assert large["test"]["proficiency"] == methods["lora"]["axes"]["proficiency"]["seeds"][0]["after"]


def test_the_report_is_written(done) -> None:
    files = ("report.html", "table.txt", "table.md", "proficiency.png", "safety.png", "knowledge.png", "retention.png")
    for name in files:
        assert (done.out / name).stat().st_size > 100
    assert "projection" in (done.out / "report.html").read_text()


def test_a_second_call_redoes_nothing(done, world, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "copy"
    shutil.copytree(done.out, out)
    before = snapshot(out)
    for module, name in ((run, "train"), (measured, "measure_axes"), (measured, "certify_model")):
        monkeypatch.setattr(module, name, None)
    assert world.run("compare", out) == 0
    drawn_anew = {"report.html", "table.txt", "table.md"}
    after = snapshot(out)
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert {name for name in changed if not name.endswith(".png")} <= drawn_anew
    table = capsys.readouterr().out
    assert "projection" in table and f"report: {out / 'report.html'}" in table


def test_seeds_can_be_added_later(done, world, tmp_path, monkeypatch) -> None:
    out, trained = tmp_path / "out", []
    shutil.copytree(done.out, out)
    train = run.train

    def counted(*args, **kwargs):
        trained.append(kwargs["label"])
        return train(*args, **kwargs)

    monkeypatch.setattr(run, "train", counted)
    assert world.run("compare", out, "--seeds", "0,1,7") == 0
    record = json.loads((out / "record.json").read_text())
    assert record["seeds"] == [0, 1, 7]
    for name, method in record["methods"].items():
        rate = f"{method['learning_rate']:g}"
        assert [label for label in trained if label.startswith(f"{name} ")] == [f"{name} lr {rate} seed 7"]
        for axis, found in method["axes"].items():
            assert found["seeds"][:2] == done.record["methods"][name]["axes"][axis]["seeds"]


@pytest.mark.slow  # every round starts a process, which imports JAX
def test_killed_anywhere_and_repeated_the_numbers_are_the_same(done, world, tmp_path) -> None:
    out = tmp_path / "killed"
    milestones = [
        "base_test.json",
        "full/lr_0.003/seed_0/checkpoints/2",
        "full/lr_0.003/seed_1/metrics.jsonl",
        "calibration/*/layer_001.safetensors",
        "full/lr_0.003/seed_0/model",
        "lora/lr_0.001/seed_0/validation.json",
        "lora/lr_0.01/seed_0/checkpoints/2",
        "projection/lr_0.001/seed_0/metrics.jsonl",
        "projection/lr_0.001/seed_1/checkpoints/2",
    ]
    number = random.randrange(len(milestones) - 4)
    for milestone in (milestones[number], milestones[number + 4]):
        status, _ = world.signalled(signal.SIGKILL, lambda m=milestone: bool(list(out.glob(m))), "compare", out)
        assert status == -signal.SIGKILL, milestone
        assert not (out / "record.json").exists()
    assert world.run("compare", out) == 0
    assert numbers(json.loads((out / "record.json").read_text())) == numbers(done.record), milestones[number]


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["--training.steps", "5"], ["config.training.steps"]),
        (["--methods.lora.rank", "1", "--name", "other"], ["config.methods.lora.rank", "config.name"]),
        (["--evaluation.axes.safety.source.limit", "2"], ["safety.source.limit", "inputs.data.safety/test[:2]"]),
    ],
)
def test_the_folder_of_another_config_is_refused(done, world, capsys, words, keys) -> None:
    before = snapshot(done.out)
    assert world.run("compare", done.out, *words) == 1
    message = one_error(capsys)
    assert str(done.out) in message and "belongs to a run with another config" in message and "--out" in message
    assert all(key in message for key in keys)
    assert snapshot(done.out) == before


def test_the_folder_of_another_model_or_other_data_is_refused(own_world, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert own_world.run("calibrate", out) == 0
    before = snapshot(out)
    text = own_world.folder / "test.jsonl"
    text.write_text(text.read_text().replace("Monday", "Sunday"))
    weights = own_world.folder / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    capsys.readouterr()
    assert own_world.run("compare", out) == 1
    message = one_error(capsys)
    assert "inputs.data" in message and "test.jsonl" in message and "inputs.model" in message
    assert snapshot(out) == before


def test_the_folder_of_another_version_is_refused(done, world, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    shutil.copytree(done.out, out)
    path = out / "config.json"
    identity = json.loads(path.read_text())
    assert identity.pop("format") == output.FORMAT
    path.write_text(json.dumps(identity))  # as the first version wrote it
    before = snapshot(out)
    for verb in ("compare", "calibrate"):
        assert world.run(verb, out) == 1
        message = one_error(capsys)
        assert f"{out}: was begun by another version of jaxft" in message and "--out, or delete this one" in message
    assert snapshot(out) == before


def test_a_folder_of_something_else_is_refused(world, tmp_path, capsys) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    assert world.run("compare", tmp_path) == 1
    assert "is not empty and holds no run of jaxft; choose another folder with --out" in one_error(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    for file, verb in (("units/lora/config.json", "sweep"), ("1_hotel/config.json", "sequence")):
        path = tmp_path / verb / file
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        assert world.run("compare", tmp_path / verb) == 1
        assert f"{tmp_path / verb}: holds a {verb}, which `jaxft {verb}` continues; choose" in one_error(capsys)
    assert world.run("compare", tmp_path / "thesis.tex") == 1
    assert "is a file" in one_error(capsys)


@pytest.mark.parametrize(
    ("task", "target", "reached", "chosen"),
    [
        ("hotel", 0.9, {1: 0.5, 2: 0.9, 3: 0.95}, 2),  # the smallest that reaches the target
        ("hotel", 0.99, {1: 0.5, 2: 0.97, 3: 0.95}, 2),  # none does: the nearest
        ("hotel", 0.99, {1: 0.5, 2: 0.5, 3: 0.5}, 1),
        ("hotel", 0.1, {1: 0.5, 2: 0.9, 3: 0.95}, 1),
        ("likelihood", 1.0, {1: 2.0, 2: 0.9, 3: 0.8}, 2),  # a loss: lower is better
        ("likelihood", 0.5, {1: 2.0, 2: 0.9, 3: 0.8}, 3),
        ("likelihood", 0.9, {1: 2.0, 2: 0.9, 3: 0.8}, 2),
    ],
)
def test_the_cheapest_learning_rate_that_reaches_the_target(world, monkeypatch, task, target, reached, chosen) -> None:
    experiment = load_experiment(world.config)
    axes = {"proficiency": replace(experiment.evaluation.axes["proficiency"], task=task)}
    experiment = replace(experiment, evaluation=replace(experiment.evaluation, axes=axes, target=target), seeds=(7, 8))
    seen, forgotten = [], []

    class FakeRun:
        delta_norm = 1.0

        def __init__(self, work, name, settings, learning_rate, seed) -> None:
            self.learning_rate = learning_rate
            seen.append((learning_rate, seed))

        def scores(self, *, validation: bool) -> dict[str, Scores]:
            # Test scores that would choose otherwise.
            value = reached[self.learning_rate] if validation else -reached[self.learning_rate]
            return {"proficiency": Scores(np.array([value]), np.ones(1))}

        def forget_checkpoints(self) -> None:
            forgotten.append(self.learning_rate)

    monkeypatch.setattr(compare, "Run", FakeRun)
    work: Any = SimpleNamespace(experiment=experiment)
    rate, points = compare.choose_rate(work, "lora", Lora(learning_rates=(3, 1, 2)))
    assert [point.learning_rate for point in points] == [1, 2, 3]
    assert [point.learning_rate for point in points if point.chosen] == [chosen] == [rate]
    assert seen == [(1, 7), (2, 7), (3, 7)]  # the first seed alone
    assert forgotten == [rate for rate in (1, 2, 3) if rate != chosen]
    assert compare.choose_rate(work, "lora", Lora(learning_rates=(3,))) == (3, ())


def test_flips_are_shown_with_both_replies() -> None:
    source = load_experiment(str(Path(__file__).parents[3] / "configs" / "quickstart.py")).evaluation.axes["safety"]
    axes = {"safety": replace(source, source=replace(source.source, limit=30))}
    work: Any = SimpleNamespace(experiment=SimpleNamespace(evaluation=SimpleNamespace(axes=axes)))
    before = Scores(np.ones(30), np.ones(30), tuple(f"old {i}" for i in range(30)))
    values = np.zeros(30)
    values[3] = 1
    after = Scores(values, np.ones(30), tuple(f"new {i}" for i in range(30)))
    found = compare._examples(work, "safety", before, after)
    assert [one.after for one in found[:4]] == ["new 0", "new 1", "new 2", "new 4"]
    assert len(found) == 30 and found[-1].after == "new 3"  # what stayed comes last
    assert found[0].before_ok is True and found[0].after_ok is False and found[0].prompt
    loss = Scores(np.ones(30), np.ones(30))
    assert compare._examples(work, "safety", loss, loss) == ()

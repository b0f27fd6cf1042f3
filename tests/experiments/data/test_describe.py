"""`jaxft data`: counts, examples, and test examples that are trained on."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from experiments.config import Axis, Evaluation, Experiment
from experiments.config_loader import load_experiment
from experiments.data.describe import contamination, describe
from jaxft.data.source import Mix, Source
from tests.experiments.world import one_error


def test_it_tells_counts_examples_and_copies(world, tmp_path, capsys) -> None:
    assert world.run("data", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert f"{world.folder}/domain.jsonl\n  all: 12 examples\n  example 1 of all\n" in said
    assert "\n    user: A room for one on Monday.\n    -> Booked for one on Monday.\n" in said
    sources = re.findall(r"^/\S+\.jsonl$|^safety$", said, re.M)
    assert len(sources) == 6 and said.count("  example 5 of ") == 5  # one file holds four examples
    assert "proficiency (" in said and "8 examples) in domain: 0 exact (0 of fewer than 8 words), 0 near" in said
    assert not (tmp_path / "out").exists()


def test_copies_of_test_examples_are_found(world) -> None:
    """Those of validation examples are not looked for."""
    experiment = load_experiment(world.config)
    test, reference = experiment.evaluation.axes["proficiency"].source, experiment.reference
    assert reference is not None
    found = contamination(experiment)["proficiency"]
    assert (found["domain"]["exact"], found["reference"]["exact"]) == (0, 0)
    leaky = dataclasses.replace(experiment, domain=(*experiment.domain, test))
    found = contamination(leaky)["proficiency"]
    assert found["source"] == f"{test.name}/{test.split}"
    assert (found["domain"]["examples"], found["domain"]["exact"], found["reference"]["exact"]) == (8, 8, 0)
    leaky = dataclasses.replace(experiment, reference=dataclasses.replace(reference, sources=(test,)))
    assert contamination(leaky)["proficiency"]["reference"]["exact"] == 8
    mixed = dataclasses.replace(experiment.methods["full"], mix=Mix((test,), 0.1))
    leaky = dataclasses.replace(experiment, methods={"full": mixed})
    assert contamination(leaky)["proficiency"]["domain"]["exact"] == 8
    validation = experiment.evaluation.axes["proficiency"].validation
    assert contamination(dataclasses.replace(experiment, domain=(validation,)))["proficiency"]["domain"]["exact"] == 0
    assert "reference" not in contamination(dataclasses.replace(experiment, reference=None))["proficiency"]


def test_a_missing_dataset_is_one_error(world, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("JAXFT_TEST_DATA", str(tmp_path))
    words = ["--evaluation.axes.knowledge.source.name", "star_steps"]
    assert world.run("data", tmp_path / "out", *words) == 1
    assert "'star_steps' needs star_hotel.tar.gz" in one_error(capsys)


@pytest.mark.skipif("JAXFT_TEST_DATA" not in os.environ, reason="JAXFT_TEST_DATA is not set: no real data to read")
def test_the_real_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    axis = Axis("likelihood", Source("toxigen", "test"), Source("toxigen", "validation"))
    experiment = Experiment(
        name="real", domain=(Source("toxigen_annotated"),), evaluation=Evaluation({"proficiency": axis}, target=1.0)
    )
    said = describe(experiment)
    assert "toxigen_annotated (raw files: 3,911 annotated sentences)\n  train: 3,120 examples\n" in said
    assert "toxigen (raw files: 25 prompt files, 574 distinct sentences)\n" in said
    assert "proficiency (toxigen/test, 67 examples) in domain: 0 exact" in said

"""Every config that ships loads, fits its base model where that ships too, and refuses keys it does not know."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.checks import check, check_settings
from experiments.sequence import check_sequence
from experiments.settings import load, load_experiment, to_json
from jaxft.config import Sequence
from jaxft.errors import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))  # benchmarks: tests/experiments/benchmarks


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_loads_and_states_its_command(path: Path) -> None:
    experiment = load_experiment(str(path))
    assert experiment.name == path.stem
    assert f"configs/{path.name}" in path.read_text().split('"""')[1]
    check_settings(experiment)
    needs_data = "JAXFT_TEST_DATA" in path.read_text() and "JAXFT_TEST_DATA" not in os.environ
    if experiment.methods and experiment.model.folder == "base" and not needs_data:
        check(experiment)
    assert to_json(experiment)["name"] == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_unknown_key_is_refused(path: Path) -> None:
    with pytest.raises(UserError, match="did you mean --training.steps"):
        load_experiment(str(path), ["--training.stepz", "3"])


@pytest.mark.parametrize("name", ["continual", "continual_real"])
def test_sequences(name: str) -> None:
    path = f"configs/{name}.py"
    sequence = load(path, "sequence", Sequence)
    assert sequence.name == name and sequence.experiment == load_experiment(path)
    assert f"jaxft sequence {path}" in Path(path).read_text()
    if name == "continual":
        quickstart = load_experiment("configs/quickstart.py")
        assert sequence.experiment == replace(quickstart, name=name)
        check_sequence(sequence)


def test_there_are_configs() -> None:
    assert {"quickstart", "stories260k_star", "tiny_base"} <= {path.stem for path in CONFIGS}

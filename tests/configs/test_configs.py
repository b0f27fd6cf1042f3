"""Every config that ships loads, fits its base model where that ships too, and refuses keys it does not know."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments.config import Auto, Axis, Experiment, Hosted, Sequence, Sweep
from experiments.config_loader import changed, load, load_experiment, to_json
from experiments.runs.certify import kernel_changes
from experiments.runs.checks import check, check_settings
from experiments.runs.output import open_output
from experiments.runs.run import Run
from experiments.runs.sequence import check_sequence
from jaxft.data.source import Mix, Source
from jaxft.errors import UserError
from jaxft.llama import checkpoint
from jaxft.llama.locate import SHIPPED_BASE
from jaxft.methods import Full, SafeLora, SafeMerge
from jaxft.sharding import Sharding
from jaxft.training.step import make_step

FOLDER = Path(__file__).parents[2] / "configs"
ALL = sorted([*FOLDER.glob("*.py"), *FOLDER.glob("ablations/*.py")])  # benchmarks: tests/experiments/benchmarks
SWEEPS = [path for path in ALL if "sweep = Sweep(" in path.read_text()]
CONFIGS = [path for path in ALL if path not in SWEEPS]


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
        check_sequence(sequence)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweeps(path: Path) -> None:
    sweep = load(str(path), "sweep", Sweep)
    assert sweep.name == path.stem
    assert f"jaxft sweep {path.relative_to(FOLDER.parent)}" in path.read_text().split('"""')[1]
    points = experiments_of(sweep)
    assert len(points) == max(math.prod(map(len, sweep.grid.values())) * bool(sweep.grid) + len(sweep.points), 1)
    for experiment in points:
        check_settings(experiment)


def experiments_of(sweep: Sweep) -> list[Experiment]:
    """The experiment at every point."""
    grid = (
        [dict(zip(sweep.grid, values, strict=True)) for values in product(*sweep.grid.values())] if sweep.grid else []
    )
    return [changed(sweep.experiment, changes) for changes in [*grid, *sweep.points] or [{}]]


def entries(path: Path) -> list[Experiment]:
    """What a config trains: of a sequence its first domain, of a sweep its first and its last point."""
    if path not in SWEEPS:
        return [load_experiment(str(path))]
    points = experiments_of(load(str(path), "sweep", Sweep))
    return points if len(points) == 1 else [points[0], points[-1]]


@pytest.fixture(scope="module")
def unaligned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shipped base with weights that are a little larger."""
    folder = tmp_path_factory.mktemp("unaligned") / "model"
    model = checkpoint.load(SHIPPED_BASE, dtype="float32")
    checkpoint.save(jax.tree.map(lambda a: 1.1 * a, model), folder, like=SHIPPED_BASE)
    return str(folder)


def small(experiment: Experiment, unaligned: str) -> Experiment:
    """The same config on the shipped base, with two steps and a few examples of every source."""

    def few(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(replace(source, limit=8) for source in sources)

    methods: dict[str, Any] = {}
    for name, settings in (experiment.methods or {"full": Full((1e-3,))}).items():
        if isinstance(settings, Hosted):
            continue
        if isinstance(settings, SafeLora):
            settings = replace(settings, unaligned=unaligned)
        if isinstance(settings, SafeMerge):
            settings = replace(settings, safe_sources=few(settings.safe_sources))
        if isinstance(settings, Auto):
            settings = settings.at(1.0, 1e-3)
        if settings.mix is not None:
            settings = replace(settings, mix=Mix(few(settings.mix.sources), 0.5))
        methods[name] = settings
    reference = experiment.reference
    if reference is not None:
        written = tuple(
            replace(one, count=8, max_new_tokens=8, prompts=few(one.prompts)) for one in reference.generated
        )
        reference = replace(reference, sources=few(reference.sources), generated=written, length=128, batch_rows=4)
    training = replace(experiment.training, steps=2, warmup=1, batch_rows=4, row_length=512, accumulation=1)
    model = replace(experiment.model, folder="base", template="tokenizer", sharding=Sharding(), attention="auto")
    axes = {"proficiency": Axis.embedded("hotel")}
    return replace(
        experiment,
        domain=few(experiment.domain),
        methods=distinct(methods),
        reference=reference,
        training=training,
        model=model,
        evaluation=replace(experiment.evaluation, axes=axes, watch=None),
        seeds=(0,),
    )


@pytest.fixture
def forgetting() -> Iterator[None]:
    """Programs are dropped afterwards: each holds pieces of memory, of which Linux gives a process 65,530."""
    yield
    make_step.cache_clear()
    jax.clear_caches()


def distinct(methods: dict[str, Any]) -> dict[str, Any]:
    """One method of each class and set of fields: those that differ in numbers alone are the same program."""
    found: dict[Any, str] = {}
    for name, settings in methods.items():
        given = [one.name for one in fields(settings) if getattr(settings, one.name) != one.default]
        found.setdefault((type(settings), *given), name)
    return {name: methods[name] for name in found.values()}


@pytest.mark.slow  # compiles the methods of every config
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_two_steps(path: Path, unaligned: str, tmp_path: Path, forgetting: None) -> None:
    """Each kind of method of every config trains; what it leaves is finite and, where it may differ, not the base."""
    if "JAXFT_TEST_DATA" in path.read_text() and "JAXFT_TEST_DATA" not in os.environ:
        pytest.skip("needs the files of JAXFT_TEST_DATA")
    for number, experiment in enumerate(entries(path)):
        work = open_output(small(experiment, unaligned), tmp_path / str(number))
        for name, settings in work.experiment.methods.items():
            assert not isinstance(settings, Hosted)
            run = Run(work, name, settings, 1e-3, 0)
            model = run.method.merge(work.base.model, run.trained)
            changes = kernel_changes(work.base.model, model)
            assert changes, f"{name} changed nothing"
            for linear, change in changes.items():
                assert bool(np.isfinite(np.asarray(change)).all()), f"{name}: {linear}"


def test_there_are_configs() -> None:
    assert {"quickstart", "stories260k_star", "tiny_base"} <= {path.stem for path in CONFIGS}
    assert {"field", "where", "dtype"} <= {path.stem for path in SWEEPS}

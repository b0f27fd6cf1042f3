"""The whole way of one method on a mesh of 8 devices: the numbers of one device."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from experiments.config_loader import load_experiment
from experiments.evaluation.scores import Scores
from experiments.runs.output import open_output
from experiments.runs.run import Run
from experiments.store.record.certificate import Certificate
from jaxft.sharding import make_mesh, use_mesh
from tests.experiments.world import World, one_error

EIGHTS = (
    *("--training.batch_rows", "8"),
    *("--reference.batch_rows", "8"),
    *("--evaluation.batch_size", "8"),
)


def run(world: World, out: Path, *words: str) -> tuple[dict[str, Scores], Certificate]:
    """(test scores, certificate) of the projection, as `evaluate` and `certify` measure them."""
    experiment = load_experiment(world.config, [*EIGHTS, *words])
    with use_mesh(make_mesh(experiment.model.sharding)):
        projection = Run(open_output(experiment, out), "projection", experiment.methods["projection"], 1e-3, 0)
        certificate = projection.result().certificate
        assert certificate is not None
        return projection.scores(validation=False), certificate


@pytest.mark.slow  # compiles everything twice, once for eight devices
def test_train_evaluate_and_certify_on_a_mesh(world: World, tmp_path: Path) -> None:
    """Of two slices; tests/experiments/test_two_processes.py has the mesh of one, over two processes."""
    wanted, on_one = run(world, tmp_path / "alone")
    scores, certificate = run(world, tmp_path / "mesh", "--model.sharding.preset", "multislice")
    for axis, found in scores.items():
        np.testing.assert_allclose(found.values, wanted[axis].values, rtol=1e-4)
        assert found.replies == wanted[axis].replies
    assert certificate.delta_norm == pytest.approx(on_one.delta_norm, rel=1e-4)
    # Logits of order 1 in float32 that differ by 1e-3 to 1e-2: what is left of their digits.
    for key in ("logit_kl", "logit_max_difference"):
        assert getattr(certificate, key) == pytest.approx(getattr(on_one, key), rel=1e-2), key
    assert certificate.logit_kl_interval == pytest.approx(on_one.logit_kl_interval, rel=2e-2)
    assert certificate.hidden_drift == pytest.approx(on_one.hidden_drift, rel=1e-2)
    assert certificate.movement is not None and on_one.movement is not None
    for name, mine in certificate.movement.linears.items():
        theirs = on_one.movement.linears[name]
        for key in ("norm", "relative", "effective_rank", "changed"):
            np.testing.assert_allclose(getattr(mine, key), getattr(theirs, key), rtol=2e-3)
    for mine, theirs in zip(certificate.spaces or (), on_one.spaces or (), strict=True):
        assert mine.rank == theirs.rank
        assert mine.captured_heldout == pytest.approx(theirs.captured_heldout, rel=1e-5)
        assert max(mine.leak.values()) < 1e-5


def test_a_run_goes_on_over_other_devices(world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """What is done on a mesh is read back on one device: nothing is trained anew."""
    words = ("--method", "lora", *EIGHTS)
    assert world.run("train", tmp_path / "out", *words, "--model.sharding.preset", "fsdp") == 0
    capsys.readouterr()
    assert world.run("train", tmp_path / "out", *words) == 0
    assert "step" not in capsys.readouterr().err


def test_rows_that_the_mesh_does_not_divide(world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    assert world.run("train", out, *EIGHTS, "--model.sharding.preset", "fsdp", "--training.batch_rows", "12") == 1
    error = one_error(capsys)
    assert re.search("training.batch_rows 12 is not a multiple of 8, the devices along fsdp", error)
    assert not out.exists()


def test_an_unknown_preset(world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert world.run("train", tmp_path / "out", "--model.sharding.preset", "fsdpp") == 1
    assert "--model.sharding.preset: found 'fsdpp', expected one of single, data, fsdp" in one_error(capsys)

"""Checkpoints belong to the run that wrote them. That kills leave them whole is in test_resume.py."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft.errors import UserError
from jaxft.training.checkpoint import Checkpoints
from jaxft.training.step import TrainState

ONE = {"model": "abc", "method": "full", "seed": 0}


def state(step: int) -> TrainState:
    tree = {"a": jnp.full((2, 3), step, jnp.float32), "b": jnp.full(2, step, jnp.bfloat16)}
    return TrainState(tree, (jnp.asarray(3 * step),), jnp.asarray(step), jax.random.key(step))


def save(folder: Path, identity: dict, *steps: int) -> None:
    checkpoints = Checkpoints(folder, identity)
    for step in steps:
        checkpoints.save(state(step))
    checkpoints.close()


def test_the_latest_state_comes_back(tmp_path: Path) -> None:
    save(tmp_path / "c", ONE, 1, 2)
    checkpoints = Checkpoints(tmp_path / "c", dict(ONE))
    got = checkpoints.restore(state(0))
    checkpoints.close()
    assert got is not None and jax.tree.structure(got) == jax.tree.structure(state(2))
    pair = (jax.tree.leaves(s._replace(key=None)) for s in (got, state(2)))
    for leaf, expected in zip(*pair, strict=True):
        assert leaf.dtype == expected.dtype
        np.testing.assert_array_equal(leaf, expected)
    assert jax.random.uniform(got.key) == jax.random.uniform(jax.random.key(2))
    assert not (tmp_path / "c" / "1").exists()


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", ONE)
    assert checkpoints.restore(state(0)) is None
    checkpoints.close()


def test_checkpoints_of_another_run_are_refused_and_kept(tmp_path: Path) -> None:
    save(tmp_path / "c", ONE, 5)
    with pytest.raises(UserError, match=r"c: holds checkpoints of another run \(different: extra, model\); choose"):
        Checkpoints(tmp_path / "c", {**ONE, "model": "xyz", "extra": 1})
    checkpoints = Checkpoints(tmp_path / "c", ONE)
    restored = checkpoints.restore(state(0))
    checkpoints.close()
    assert restored is not None and int(restored.step) == 5


def test_a_run_that_never_saved_does_not_own_the_folder(tmp_path: Path) -> None:
    """Another run that was stopped before its first checkpoint is neither obeyed nor confused with this one."""
    save(tmp_path / "c", ONE)
    other = {**ONE, "seed": 1}
    save(tmp_path / "c", other, 5)
    save(tmp_path / "c", other, 6)  # not refused
    with pytest.raises(UserError, match="different: seed"):
        Checkpoints(tmp_path / "c", ONE)  # does not take the other's weights for its own


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    save(tmp_path / "c", ONE, 5)
    damaged = 0
    for path in (tmp_path / "c" / "5" / "state").rglob("*"):
        if path.is_file() and "/d/" in str(path):
            path.write_bytes(path.read_bytes()[:3])
            damaged += 1
    assert damaged
    checkpoints = Checkpoints(tmp_path / "c", ONE)
    with pytest.raises(UserError, match=r"c: the checkpoint of step 5 cannot be read .*\n.*[Dd]elete"):
        checkpoints.restore(state(0))
    checkpoints.close()

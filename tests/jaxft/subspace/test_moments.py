"""Running second moments and their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from jaxft.errors import UserError
from jaxft.subspace.moments import LayerMoments, Moment, MomentFiles, accumulate

NO_MESH = PartitionSpec()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.sampled_from([1, 5]), st.integers(0, 100))
def test_the_mean_is_uncentred_weighted_and_independent_of_the_split(rows: list[int], d: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    moment, xs, ws = Moment.zeros(d, NO_MESH), [], []
    for count in rows:
        x, w = 1 + random.standard_normal((count, 3, d)), random.randint(0, 2, (count, 3))
        moment = accumulate(moment, jnp.asarray(x, jnp.float32), jnp.asarray(w))
        xs.append(x.reshape(-1, d))
        ws.append(w.ravel())
    x, w = np.concatenate(xs), np.concatenate(ws)
    np.testing.assert_allclose(moment.mean(), (x * w[:, None]).T @ x / max(w.sum(), 1), rtol=1e-5, atol=1e-6)
    assert float(moment.weight) == w.sum()


def test_what_has_no_weight_does_not_count() -> None:
    x = jnp.asarray(np.random.RandomState(0).standard_normal((2, 3, 4)), jnp.float32)
    w = jnp.asarray([[1, 1, 0], [0, 0, 0]])
    got = accumulate(Moment.zeros(4, NO_MESH), x.at[1].set(1e30).at[0, 2].set(7), w)
    np.testing.assert_allclose(got.total, np.einsum("td,te->de", x[0, :2], x[0, :2]), rtol=1e-6)


def test_bfloat16_is_summed_in_float32() -> None:
    x = jnp.ones((1000, 1), jnp.bfloat16)  # a bfloat16 sum would stop at 256
    assert accumulate(Moment.zeros(1, NO_MESH), x, jnp.ones(1000)).total.item() == 1000


def test_no_token_gives_zeros() -> None:
    np.testing.assert_array_equal(Moment.zeros(3, NO_MESH).mean(), np.zeros((3, 3)))


def layer(seed: int) -> LayerMoments:
    random = np.random.RandomState(seed)
    draw = lambda *names: {name: random.standard_normal((3, 3)).astype(np.float32) for name in names}  # noqa: E731
    return LayerMoments(draw("a", "b"), draw("a", "b"), draw("q"))


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    files = MomentFiles(tmp_path)
    for index in (1, 0):  # two-sided capture goes backwards
        files.write(index, layer(index))
    files.finish({"tokens": 12})
    assert (len(files), files.description) == (2, {"tokens": 12})
    for index in (0, 1):
        got, want = files.read(index), layer(index)
        for group in ("inputs", "heldout", "outputs"):
            assert getattr(got, group).keys() == getattr(want, group).keys()
            for name, value in getattr(want, group).items():
                np.testing.assert_array_equal(getattr(got, group)[name], value)


def test_files_of_another_format_count_or_shape_are_named(tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(UserError, match=rf"{message}; delete {tmp_path} to measure anew"):
            MomentFiles(tmp_path).read(0)

    files = MomentFiles(tmp_path)
    for index in (0, 1):
        files.write(index, layer(index))
    files.finish({"tokens": 12})
    files.write(0, replace(layer(0), outputs={"q": np.zeros((3, 2), np.float32)}))
    refused(r"layer_000.safetensors: found the shapes {'outputs/q': \[3, 2\]}, moments.json has .*")
    files.write(0, replace(layer(0), outputs={}))
    refused("layer_000.safetensors: lacks outputs/q")
    files.write(0, layer(0))
    (tmp_path / "layer_001.safetensors").unlink()
    refused(f"{tmp_path}: found 1 layers, moments.json has 2")
    (tmp_path / "moments.json").write_text('{"tokens": 12}')  # as earlier versions wrote it
    refused("moments.json: not of format 2, which this version of jaxft reads")


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    files = MomentFiles(tmp_path)
    files.write(0, layer(0))
    path = tmp_path / "layer_000.safetensors"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"layer_000.safetensors: not a readable moments file .*delete .* anew"):
        files.read(0)

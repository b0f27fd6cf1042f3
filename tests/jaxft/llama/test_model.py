"""Properties of the forward pass; its agreement with transformers is in test_parity.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

from jaxft.llama.cache import Cache
from jaxft.llama.checkpoint import load
from jaxft.llama.model import REMAT_POLICIES, Compute, Llama, embed, forward, logits, run_layers
from jaxft.llama.sharding import Dot
from tests.jaxft.llama.small import CONFIGS, random_model, tensors, write_folder

ROUNDING = 1e-5  # of logits of size about 1 to 10, in float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("model"), CONFIGS["grouped"], tensors(CONFIGS["grouped"]))


@pytest.fixture(scope="module")
def model(folder: Path) -> Llama:
    return load(folder)


def row(*lengths: int, width: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(tokens, positions, segments) of one packed row: segments 1, 2, ... of the given lengths, then padding."""
    tokens = np.random.RandomState(seed).randint(3, 61, (1, width))
    positions, segments = np.zeros((1, width), np.int32), np.zeros((1, width), np.int32)
    start = 0
    for number, length in enumerate(lengths, start=1):
        positions[0, start : start + length] = np.arange(length)
        segments[0, start : start + length] = number
        start += length
    return tokens, positions, segments


def run(model: Llama, batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    return np.asarray(jax.jit(forward)(model, *batch))


def loss(model: Llama, tokens: np.ndarray, positions: np.ndarray, segments: np.ndarray) -> Array:
    """Mean negative log-likelihood of the next token within each segment."""
    logs = jax.nn.log_softmax(forward(model, tokens, positions, segments)[:, :-1])
    chosen = jnp.take_along_axis(logs, jnp.asarray(tokens)[:, 1:, None], axis=-1)[..., 0]
    real = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    return -(chosen * real).sum() / real.sum()


step = jax.jit(jax.value_and_grad(loss))


def test_logits_are_float32_and_of_some_size(model: Llama) -> None:
    got = run(model, row(24))
    assert got.shape == (1, 24, 61)
    assert got.dtype == np.float32
    assert 1 < got.std() < 10  # else the tolerances here would test nothing


@pytest.fixture(scope="module")
def expected_step(model: Llama) -> tuple[Array, Llama]:
    """(loss, gradient) of `row(10, 9)`, scanned and without recomputation."""
    return step(model, *row(10, 9))


@pytest.mark.parametrize("remat", REMAT_POLICIES)
@pytest.mark.parametrize("scan", [True, False], ids=["scanned", "unrolled"])
def test_loss_and_gradient_do_not_depend_on_how_it_runs(
    folder: Path, expected_step: tuple[Array, Llama], scan: bool, remat: str
) -> None:
    got, gradient = step(load(folder, compute=Compute(remat=remat, scan=scan)), *row(10, 9))
    expected, expected_gradient = expected_step
    assert float(got) == pytest.approx(float(expected), abs=1e-6)
    for leaf, expected_leaf in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected_gradient), strict=True):
        assert float(jnp.abs(expected_leaf).max()) > 1e-3
        np.testing.assert_allclose(leaf, expected_leaf, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("variant", ["grouped", "scaled", "tied"])
def test_a_packed_row_equals_separate_rows(tmp_path: Path, variant: str) -> None:
    model = random_model(tmp_path, variant)
    tokens, positions, segments = row(7, 11, 4)
    packed = run(model, (tokens, positions, segments))
    for start, length in ((0, 7), (7, 11), (18, 4)):
        _, alone_positions, alone_segments = row(length)
        alone = run(model, (np.roll(tokens, -start, axis=1), alone_positions, alone_segments))
        np.testing.assert_allclose(packed[0, start : start + length], alone[0, :length], rtol=0, atol=ROUNDING)


def test_segments_do_not_see_each_other_nor_the_future(model: Llama) -> None:
    tokens, positions, segments = row(8, 8, 8)
    before = run(model, (tokens, positions, segments))
    changed = tokens.copy()
    changed[0, 12] = (tokens[0, 12] + 1) % 61
    after = run(model, (changed, positions, segments))
    seen = np.abs(after - before).max(axis=-1)[0] > 0
    assert np.flatnonzero(seen).tolist() == [12, 13, 14, 15]


def test_padding_does_not_matter(model: Llama) -> None:
    tokens, positions, segments = row(13)
    other = tokens.copy()
    other[0, 13:] = 5
    short = tokens[:, :13], positions[:, :13], segments[:, :13]
    results = [run(model, batch)[0, :13] for batch in ((tokens, positions, segments), (other, positions, segments))]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_allclose(results[0], run(model, short)[0], rtol=0, atol=ROUNDING)


def test_a_row_of_padding_changes_no_gradient(model: Llama, expected_step: tuple[Array, Llama]) -> None:
    batch = tuple(np.concatenate(parts) for parts in zip(row(10, 9), row(), strict=True))
    got = step(model, *batch)
    for leaf, expected_leaf in zip(jax.tree.leaves(got), jax.tree.leaves(expected_step), strict=True):
        np.testing.assert_allclose(leaf, expected_leaf, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("scan", [True, False], ids=["scanned", "unrolled"])
def test_the_cache_gives_the_logits_of_the_whole_sequence(folder: Path, scan: bool) -> None:
    model = load(folder, compute=Compute(scan=scan))
    tokens, positions, segments = row(12, width=12)
    expected = run(model, (tokens, positions, segments))
    cache = Cache.empty(model.config, model.compute.layout, "float32", 1, 12, unrolled=not scan)

    @jax.jit
    def step(cache: Cache, new: np.ndarray, here: np.ndarray) -> tuple[Array, Cache]:
        visible = (jnp.arange(12) <= here[:, :, None])[:, None]
        x, cache = run_layers(model, embed(model, new), here, visible, cache=cache)  # pyright: ignore[reportAssignmentType]
        return logits(model, x), cache

    got = []
    for part in (slice(0, 5), *(slice(i, i + 1) for i in range(5, 12))):
        values, cache = step(cache, tokens[:, part], positions[:, part])
        got.append(values)
    assert int(cache.slot) == 12
    np.testing.assert_allclose(jnp.concatenate(got, axis=1), expected, rtol=0, atol=ROUNDING)


def test_bfloat16_compute_is_close_to_float32(folder: Path, model: Llama) -> None:
    batch = row(11, 13)
    exact, rough = run(model, batch), run(load(folder, compute=Compute(dtype="bfloat16")), batch)
    assert rough.dtype == np.float32
    error = (rough - exact).std() / exact.std()
    assert 1e-4 < error < 0.05  # bfloat16 keeps 8 bits: 0.4 % a rounding


def test_positions_are_relative(model: Llama) -> None:
    """Rotary attention depends on distances alone, so a shift of all positions changes nothing but rounding."""
    tokens, positions, segments = row(24)
    shifted = run(model, (tokens, positions + 40, segments))
    np.testing.assert_allclose(shifted, run(model, (tokens, positions, segments)), rtol=0, atol=10 * ROUNDING)
    stretched = run(model, (tokens, 2 * positions, segments))
    assert np.abs(stretched - shifted).max() > 0.1


@pytest.mark.parametrize("scan", [True, False], ids=["scanned", "unrolled"])
def test_adapters_replace_their_linear_layer_by_layer(folder: Path, model: Llama, scan: bool) -> None:
    changes = {
        name: 0.1 * jax.random.normal(jax.random.key(0), getattr(model.layers, name).shape) for name in ("k", "down")
    }

    def changed(delta: Array, x: Array, kernel: Array, key: Array | None, dot: Dot) -> Array:
        assert key is None
        return dot(x, kernel + delta)

    adapters = {name: jax.tree_util.Partial(changed, delta) for name, delta in changes.items()}
    batch = row(10, 9)
    run_model = load(folder, compute=Compute(scan=scan))
    got = jax.jit(lambda model, adapters: forward(model, *batch, adapters=adapters))(run_model, adapters)
    edited = load(folder)
    for name, delta in changes.items():
        kernel = getattr(edited.layers, name)
        kernel.set_value(kernel[...] + delta)
    np.testing.assert_allclose(got, run(edited, batch), rtol=0, atol=ROUNDING)
    assert np.abs(got - run(model, batch)).max() > 0.1


def test_random_initialisation_is_sane(model: Llama) -> None:
    fresh = Llama(replace(model.config, hidden_size=64), rngs=nnx.Rngs(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(fresh)) == fresh.config.parameter_count
    got = float(jax.jit(loss)(fresh, *row(24)))
    assert got == pytest.approx(np.log(61), abs=0.1)  # it knows nothing
    again = Llama(fresh.config, rngs=nnx.Rngs(1))
    assert not np.array_equal(again.layers.q[...], fresh.layers.q[...])

"""Streamed moments against brute force: a float64 forward pass in numpy, and gradients of the whole model at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft.llama.capture import stream_moments
from jaxft.llama.config import INPUT_SPACES, SPACE_OF
from jaxft.llama.model import Llama, block, embed, layer_slice, logits, packed_mask
from jaxft.llama.sight import sights
from jaxft.sharding import Layout
from jaxft.subspace.moments import LayerMoments
from tests.jaxft.llama.small import random_model

SEED = 3
Batch = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    return random_model(tmp_path_factory.mktemp("model"), "scaled")


def batch(seed: int, *rows: tuple[int, ...], width: int = 16) -> Batch:
    """Packed rows, each of segments of the given lengths and then padding with tokens that must not matter."""
    positions, segments = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width), np.int32)
    for row, lengths in enumerate(rows):
        start = 0
        for number, length in enumerate(lengths, start=1):
            positions[row, start : start + length] = np.arange(length)
            segments[row, start : start + length] = number
            start += length
    return {
        "tokens": np.random.RandomState(seed).randint(3, 61, (len(rows), width)),
        "positions": positions,
        "segments": segments,
    }


FIT = [batch(0, (9, 5), (16,)), batch(1, (3,), (7, 8))]
HELDOUT = [batch(2, (12,), ())]


@pytest.fixture(scope="module")
def moments(model: Llama) -> dict[int, LayerMoments]:
    return dict(stream_moments(model, FIT, HELDOUT, two_sided=True, seed=SEED))


def inputs_in_float64(model: Llama, batches: Iterable[Batch]) -> list[dict[str, np.ndarray]]:
    """By layer and input space, the inputs of all real tokens, [tokens, d]: segment by segment, in numpy."""
    config = model.config
    w = jax.tree.map(lambda a: np.asarray(a, np.float64), {k: getattr(model.layers, k)[...] for k in PARAMETERS})
    found: list[dict[str, list[np.ndarray]]] = [{s: [] for s in INPUT_SPACES} for _ in range(config.num_layers)]

    def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + config.rms_norm_eps) * weight

    def rope(x: np.ndarray) -> np.ndarray:  # [T, heads, H] as complex pairs (i, i + H/2)
        half, scaled = config.head_dim // 2, config.rope
        angle = np.arange(len(x))[:, None] / scaled.factor * scaled.rope_theta ** (-np.arange(half) / half)
        turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)[:, None]
        return np.concatenate([turned.real, turned.imag], axis=-1)

    for tokens in (b["tokens"][r][b["segments"][r] == s] for b in batches for r in range(2) for s in (1, 2)):
        x, length = np.asarray(model.embed[...], np.float64)[tokens], len(tokens)
        for layer in range(config.num_layers if length else 0):
            y = norm(x, w["attention_norm"][layer])
            q, k, v = ((y @ w[n][layer]).reshape(length, -1, config.head_dim) for n in "qkv")
            k, v = (np.repeat(a, config.num_heads // config.num_kv_heads, axis=1) for a in (rope(k), v))
            scores = np.einsum("thd,shd->hts", rope(q), k) / np.sqrt(config.head_dim)
            scores[:, ~np.tri(length, dtype=bool)] = -np.inf
            p = np.exp(scores - scores.max(-1, keepdims=True))
            z = np.einsum("hts,shd->thd", p / p.sum(-1, keepdims=True), v).reshape(length, -1)
            x = x + z @ w["o"][layer]
            u = norm(x, w["mlp_norm"][layer])
            gate = u @ w["gate"][layer]
            h = gate / (1 + np.exp(-gate)) * (u @ w["up"][layer])
            x = x + h @ w["down"][layer]
            for space, value in zip(INPUT_SPACES, (y, z, u, h), strict=True):
                found[layer][space].append(value)
    return [{space: np.concatenate(parts) for space, parts in named.items()} for named in found]


PARAMETERS = ("attention_norm", "q", "k", "v", "o", "mlp_norm", "gate", "up", "down")


@pytest.mark.parametrize("group", ["inputs", "heldout"])
def test_input_moments_are_those_of_all_real_tokens(model: Llama, moments: dict[int, LayerMoments], group: str) -> None:
    batches, tokens = (FIT, 9 + 5 + 16 + 3 + 7 + 8) if group == "inputs" else (HELDOUT, 12)
    for layer, spaces in enumerate(inputs_in_float64(model, batches)):
        got = getattr(moments[layer], group)
        assert got.keys() == INPUT_SPACES.keys()
        for space, x in spaces.items():
            want = x.T @ x / tokens
            assert len(x) == tokens
            np.testing.assert_allclose(got[space], want, rtol=0, atol=2e-5 * np.abs(want).max())


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_output_moments_are_those_of_the_whole_models_gradients(model: Llama, temperature: float) -> None:
    """-T log p of the same sampled labels, differentiated once through all layers."""
    moments = dict(stream_moments(model, FIT, [], two_sided=True, seed=SEED, temperature=temperature))
    config = model.config
    sums: dict[tuple[int, str], Any] = {}
    for number, rows in enumerate(FIT):
        real = rows["segments"] > 0
        sight, _ = sights(config, jnp.asarray(rows["positions"]), packed_mask(jnp.asarray(rows["segments"])))

        def log_p(probes: list[dict[str, jax.Array]], rows: Batch = rows, sight=sight) -> jax.Array:
            x = embed(model, jnp.asarray(rows["tokens"]))
            for layer, here in enumerate(probes):
                x, _, _ = block(layer_slice(model.layers, layer), config, Layout(), x, sight, probes=here)
            return jax.nn.log_softmax(logits(model, x) / temperature)

        zeros = {name: jnp.zeros((*real.shape, shape[1])) for name, shape in config.linear_shapes.items()}
        probes = [zeros] * config.num_layers
        labels = jax.random.categorical(jax.random.fold_in(jax.random.key(SEED), number), log_p(probes))

        def loss(probes: list[dict[str, jax.Array]], log_p=log_p, labels=labels, real=real) -> jax.Array:
            picked = jnp.take_along_axis(log_p(probes), labels[..., None], axis=-1)[..., 0]
            return -temperature * (picked * real).sum()

        for layer, named in enumerate(jax.jit(jax.grad(loss))(probes)):
            for name, gradient in named.items():
                g = np.asarray(gradient, np.float64)[real]
                sums[layer, name] = sums.get((layer, name), 0) + g.T @ g
    tokens = sum((rows["segments"] > 0).sum() for rows in FIT)
    for layer in range(config.num_layers):
        assert moments[layer].outputs.keys() == SPACE_OF.keys()
        for name, got in moments[layer].outputs.items():
            want = sums[layer, name] / tokens
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())


def test_one_sided_and_two_sided_inputs_agree(model: Llama, moments: dict[int, LayerMoments]) -> None:
    one_sided = list(stream_moments(model, FIT, HELDOUT, two_sided=False, seed=SEED))
    assert [layer for layer, _ in one_sided] == [0, 1]
    assert list(moments) == [1, 0]  # backwards
    for layer, got in one_sided:
        assert not got.outputs
        assert_close(got, moments[layer])


def assert_close(got: LayerMoments, want: LayerMoments) -> None:
    for group in ("inputs", "heldout"):
        assert getattr(got, group).keys() == getattr(want, group).keys()
        for space, value in getattr(want, group).items():
            np.testing.assert_allclose(getattr(got, group)[space], value, rtol=0, atol=1e-5 * np.abs(value).max())


def test_how_tokens_are_put_into_batches_and_padded_does_not_matter(
    model: Llama, moments: dict[int, LayerMoments]
) -> None:
    rows = {name: np.concatenate([b[name] for b in FIT]) for name in FIT[0]}
    padding = {name: np.full_like(a[:2], 5 if name == "tokens" else 0) for name, a in rows.items()}
    order = [3, 0, 2, 1]
    whole = [{name: np.concatenate([a[order], padding[name]]) for name, a in rows.items()}]
    changed = [{**b, "tokens": np.where(b["segments"] > 0, b["tokens"], 7)} for b in HELDOUT]
    for layer, got in stream_moments(model, whole, changed, two_sided=False, seed=SEED):
        assert_close(got, moments[layer])


def test_labels_are_drawn_anew_for_another_seed(model: Llama, moments: dict[int, LayerMoments]) -> None:
    again, other = (dict(stream_moments(model, FIT, HELDOUT, two_sided=True, seed=s)) for s in (SEED, SEED + 1))
    for layer, want in moments.items():
        for name, value in want.outputs.items():
            np.testing.assert_array_equal(again[layer].outputs[name], value)
            assert np.abs(other[layer].outputs[name] - value).max() > 1e-3 * np.abs(value).max()

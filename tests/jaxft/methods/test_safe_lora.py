"""Safe LoRA and SafeMERGE against the papers' formulas in float64."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft import methods
from jaxft.data.source import Source
from jaxft.llama.model import Llama
from jaxft.llama.sharding import parameter_spec
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Statistics
from jaxft.methods.safe_lora import align
from jaxft.sharding import LAYOUTS, Sharding, make_mesh, reshard, use_mesh
from tests.jaxft.training.small_run import base

TARGETS = ("q", "down")
SAFE_LORA = methods.SafeLora((), rank=4, alpha=8.0, unaligned="unaligned", targets=TARGETS)
SAFE_MERGE = methods.SafeMerge(
    (),
    rank=4,
    alpha=8.0,
    unaligned="unaligned",
    safe_sources=(Source("safety"),),
    safe_weight=0.3,
    targets=TARGETS,
)


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


@cache
def unaligned() -> Llama:
    """The base with other kernels of low rank on top, so that cosines differ."""
    found = jax.tree.map(lambda leaf: leaf, base())
    for seed, name in enumerate(TARGETS):
        kernel = getattr(found.layers, name)
        d, n = kernel[...].shape[1:]
        kernel.set_value(kernel[...] + draw(seed, 2, d, 3) @ draw(seed + 10, 2, 3, n))
    return found


@cache
def trained(seed: int) -> dict[str, LowRank]:
    shapes = base().config.linear_shapes
    return {
        name: LowRank(draw(seed, 2, shapes[name][0], 4), draw(seed + 1, 2, 4, shapes[name][1]), 2.0) for name in TARGETS
    }


def papers_form(name: str, layer: int, adapter: LowRank) -> tuple[np.ndarray, np.ndarray, float]:
    """(dW, C dW, their cosine) in float64, with the paper's weights [out, in], transposed back."""
    w, w0 = (np.asarray(getattr(model.layers, name)[...][layer], np.float64).T for model in (base(), unaligned()))
    v = w - w0
    c = v @ v.T / np.linalg.norm(v)
    delta = adapter.scale * np.asarray(adapter.a[layer], np.float64) @ np.asarray(adapter.b[layer], np.float64)
    projected = c @ delta.T
    cosine = float((projected * delta.T).sum() / np.linalg.norm(projected) / np.linalg.norm(delta))
    return delta, projected.T, cosine


def as_low_rank(settings: Any, threshold: float) -> dict[str, Any]:
    method = replace(settings, threshold=threshold)
    given = Statistics(unaligned=unaligned(), safe=trained(30))
    return method.finalize(trained(20), base(), given)


def test_alignment_is_the_papers() -> None:
    for name, adapter in trained(20).items():
        found = align(adapter, getattr(base().layers, name)[...], getattr(unaligned().layers, name)[...])
        for layer in range(2):
            _, projected, cosine = papers_form(name, layer, adapter)
            got = np.asarray(replace(adapter, b=found.b).delta()[layer])
            assert np.linalg.norm(got - projected) < 1e-5 * np.linalg.norm(projected)
            assert float(found.similarity[layer]) == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize("settings", [SAFE_LORA, SAFE_MERGE], ids=lambda settings: settings.kind)
def test_layers_below_the_threshold_are_edited_and_no_others(settings: Any) -> None:
    cosines = sorted(papers_form(name, layer, one)[2] for name, one in trained(20).items() for layer in range(2))
    gaps = np.diff(cosines)
    below = int(gaps.argmax()) + 1
    assert gaps.max() > 0.01
    threshold, edited = (cosines[below - 1] + cosines[below]) / 2, 0
    for name, adapter in as_low_rank(settings, threshold).items():
        for layer in range(2):
            delta, projected, cosine = papers_form(name, layer, trained(20)[name])
            safe = papers_form(name, layer, trained(30)[name])[0]
            if cosine < threshold:
                delta, edited = projected if settings is SAFE_LORA else 0.7 * delta + 0.3 * safe, edited + 1
            np.testing.assert_allclose(adapter.delta()[layer], delta, rtol=1e-4, atol=1e-4 * np.abs(delta).max())
    assert edited == below


def test_where_nothing_was_aligned_the_change_is_projected_away() -> None:
    method: Any = replace(SAFE_LORA, threshold=0.1)
    for adapter in method.finalize(trained(20), base(), Statistics(unaligned=base())).values():
        assert not adapter.delta().any()


def test_parameters_of_the_safe_adapter_do_not_count() -> None:
    merged, plain = as_low_rank(SAFE_MERGE, 1.0), trained(20)
    count = SAFE_MERGE.trained_parameters(merged)
    assert count == SAFE_LORA.trained_parameters(plain) == sum(leaf.size for leaf in jax.tree.leaves(plain))
    assert merged["q"].a.shape == (2, 32, 8)


def test_a_mesh_aligns_as_one_device_does() -> None:
    layout, name = LAYOUTS["fsdp_tensor"], "down"
    adapter, kernels = LowRank(draw(0, 2, 48, 4), draw(1, 2, 4, 32), 2.0), [draw(seed, 2, 48, 32) for seed in (2, 3)]
    wanted = align(adapter, kernels[0], kernels[1])
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        split = replace(adapter, a=reshard(adapter.a, layout.low_rank("a")), b=reshard(adapter.b, layout.low_rank("b")))
        found = align(split, *(reshard(kernel, parameter_spec(layout, "layers", name, "hidden")) for kernel in kernels))
        chosen = (found.similarity < 2)[:, None, None]
        edited = np.asarray(jnp.where(chosen, found.b, split.b))  # as finalize does it
    np.testing.assert_allclose(edited, wanted.b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.similarity, wanted.similarity, atol=1e-5)

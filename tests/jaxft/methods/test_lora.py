"""LoRA starts as the base, trains its adapters alone, and pays for them alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxft import methods
from jaxft.errors import UserError
from jaxft.llama.config import SPACE_OF, LlamaConfig
from jaxft.llama.model import Compute, Llama, forward
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step
from tests.jaxft.training.small_run import base, batch, rows

LORA = methods.Lora((), rank=4, alpha=12.0)


def test_it_starts_as_the_base() -> None:
    method, b = LORA, batch(rows(count=2))
    adapters = method.initial(base(), jax.random.key(0), None)
    assert set(adapters) == set(SPACE_OF)
    inputs = b["tokens"], b["positions"], b["segments"]
    run = jax.jit(lambda model, adapters: forward(model, *inputs, adapters=adapters))
    np.testing.assert_array_equal(run(*method.assemble(base(), adapters)), run(base(), {}))
    for name, adapter in adapters.items():
        d, n = base().config.linear_shapes[name]
        assert (adapter.a.shape, adapter.b.shape, adapter.scale) == ((2, d, 4), (2, 4, n), 3.0)
        assert not adapter.b.any()
        assert np.abs(adapter.a).max() <= d**-0.5
        assert adapter.a.std() == pytest.approx((3 * d) ** -0.5, rel=0.2)  # of a uniform draw
        assert not np.array_equal(adapter.a[0], adapter.a[1])
    other = method.initial(base(), jax.random.key(1), None)
    assert not np.array_equal(other["q"].a, adapters["q"].a)
    assert not np.array_equal(adapters["q"].a, adapters["gate"].a)


@pytest.mark.parametrize(("scaling", "factor"), [("lora", 3.0), ("rslora", 6.0)])
def test_the_scale_is_alpha_by_the_rank_or_by_its_root(scaling: Any, factor: float) -> None:
    method = replace(LORA, scaling=scaling, targets=("q",))
    assert method.initial(base(), jax.random.key(0), None)["q"].scale == factor


@pytest.mark.parametrize(("own", "decay"), [(None, 0.2), (0.0, 0.0), (0.5, 0.5)])
def test_adapters_may_have_a_weight_decay_of_their_own(own: float | None, decay: float) -> None:
    method = replace(LORA, weight_decay=own, targets=("q",))
    adapters = jax.tree.map(jnp.ones_like, method.initial(base(), jax.random.key(0), None))
    optimizer = method.optimizer(Training(weight_decay=0.2), lambda _: 0.1, None, base())
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, adapters), optimizer.init(adapters), adapters)
    for leaf in jax.tree.leaves(updates):
        np.testing.assert_allclose(leaf, -0.1 * decay, rtol=1e-6)


@pytest.mark.parametrize(("rank", "name"), [(0, "q"), (33, "q"), (17, "k")])
def test_a_rank_beyond_the_width_is_an_error(rank: int, name: str) -> None:
    width = min(base().config.linear_shapes[name])
    method = replace(LORA, rank=rank, targets=(name,))
    with pytest.raises(
        UserError,
        match=f"lora.rank: found {rank}, expected at least 1 and at most {width}, the width of linear '{name}'",
    ):
        method.initial(base(), jax.random.key(0), None)


@pytest.fixture(scope="module")
def costs() -> dict[str, Any]:
    """The compiled step of each method on a model whose linears are nearly all of its work, unrolled so that each
    layer is counted: {"full" or "lora": compiled}, and the floating-point operations of one forward pass."""
    shape = LlamaConfig(64, 256, 512, 2, 4, 4, 64, 64)
    model = Llama(shape, rngs=nnx.Rngs(0), compute=Compute(scan=False))
    training = Training(steps=2, batch_rows=4, row_length=32)
    b = batch(rows(count=4, length=32))
    linears = 2 * sum(d * n for d, n in shape.linear_shapes.values()) * shape.num_layers * 4 * 32
    found: dict[str, Any] = {"forward": linears}
    for name, settings in {"full": methods.Full(()), "lora": replace(LORA, targets=("q", "v", "down"))}.items():
        method = settings
        state = initial_state(method, training, model, None, jax.random.key(0))
        step: Any = make_step(method, training)
        found[name] = step.lower(state, model, None, b, 1e-3).compile()
    return found


def test_frozen_weights_get_no_gradient_in_operations(costs: dict[str, Any]) -> None:
    """Full: a forward pass, and twice that for the gradients of inputs and of weights. LoRA: the inputs' alone."""
    full, lora = (costs[name].cost_analysis()["flops"] / costs["forward"] for name in ("full", "lora"))
    assert 2.9 < full < 3.5
    assert 1.8 < lora < 2.3
    assert full - lora > 0.8


def test_frozen_weights_get_no_gradient_in_memory(costs: dict[str, Any]) -> None:
    """Full holds weights, two moments and a gradient; LoRA the frozen weights and next to nothing more."""
    full, lora = (costs[name].memory_analysis() for name in ("full", "lora"))
    weights = 4 * 2 * (4 * 256 * 256 + 3 * 256 * 512)
    assert full.output_size_in_bytes > 3 * weights > 50 * lora.output_size_in_bytes
    assert full.temp_size_in_bytes - lora.temp_size_in_bytes > 0.8 * weights

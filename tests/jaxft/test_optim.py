"""Weights and moments in bfloat16: unbiased rounding, Adam that learns all the same, what it costs the protection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from jaxft import methods
from jaxft.errors import UserError
from jaxft.optim import apply_updates, scale_by_adam, stochastic_round
from jaxft.sharding import LAYOUTS, Sharding, make_mesh, shard_rows, use_mesh
from jaxft.subspace.certificate import leak
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step
from tests.jaxft.test_sharding import model as mesh_model
from tests.jaxft.training.small_run import TRAINING, base, batch, build, random_subspaces, rows

HALF = replace(TRAINING, optimizer_dtype="bfloat16", weights_dtype="bfloat16")


@jax.jit
def many(x: jax.Array) -> jax.Array:
    """4,096 roundings of x, in float32."""
    seeds = jax.random.bits(jax.random.key(0), (4096,))
    return jax.vmap(lambda seed: stochastic_round(x, seed))(seeds).astype(jnp.float32)


def test_rounding_takes_one_of_the_two_neighbours_and_is_right_on_average() -> None:
    x = jnp.asarray([1 + 2**-9, -(1 + 2**-9), 3.14159, -1e-3, 1e30, 1e-30, 255.99], jnp.float32)
    low = (jax.lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(0xFFFF0000)).view(jnp.float32)
    gap = np.abs(2.0 ** (np.floor(np.log2(np.abs(np.asarray(x)))) - 7))
    found = np.asarray(many(x))
    assert ((found == low) | (found == low + np.sign(x) * gap)).all()
    # The mean of n roundings is off by at most gap / 2 / sqrt(n) in one standard deviation.
    assert (np.abs(found.mean(0) - x) < 4 * gap / 2 / 64).all()
    assert (found.max(0) > found.min(0)).all()


def test_the_noise_has_no_pattern() -> None:
    """Uniform, and uncorrelated between neighbours along every axis and between seeds."""
    x, shape = jnp.full((64, 64, 64), 1 + 2.0**-8), (64, 64, 64)  # half-way between two neighbours

    def up(seed: int) -> np.ndarray:
        return np.asarray(stochastic_round(x, jnp.uint32(seed)) > 1, np.float64) * 2 - 1

    first, second = up(0), up(1)
    pairs = [first, first * second, *(first * np.roll(first, 1, axis) for axis in range(3))]
    deviation = np.prod(shape) ** -0.5
    assert max(abs(pair.mean()) for pair in pairs) < 4 * deviation
    for axis in range(3):
        assert np.abs(first.mean(axis)).max() < 5 * 64**-0.5
        assert np.abs(first.mean(tuple({0, 1, 2} - {axis}))).max() < 4 / 64


def test_what_bfloat16_holds_stays_as_it_is() -> None:
    x = jnp.asarray([0.0, -0.0, 1.0, -2.5, 2.0**-126, 3e38, jnp.inf, -jnp.inf, jnp.nan], jnp.bfloat16)
    found = stochastic_round(x.astype(jnp.float32), jnp.uint32(1))
    np.testing.assert_array_equal(found.astype(jnp.float32), x.astype(jnp.float32))


def test_updates_far_below_a_step_of_bfloat16_are_not_lost() -> None:
    """1,000 updates of 1/40 of the gap above 1, which rounding to the nearest would drop each time."""
    update = jnp.full(4096, 2.0**-7 / 40)

    def run(add: Any) -> np.ndarray:
        start = jnp.ones(4096, jnp.bfloat16)
        steps = jax.random.split(jax.random.key(0), 1000)
        return np.asarray(jax.lax.scan(lambda w, key: (add(w, key), None), start, steps)[0], np.float64)

    assert (run(lambda w, _: (w + update).astype(jnp.bfloat16)) == 1).all()
    found = run(lambda w, key: apply_updates(w, update, "bfloat16", key))
    assert found.mean() == pytest.approx(1 + 1000 * 2**-7 / 40, abs=1e-3)


def gradients(count: int) -> np.ndarray:
    """Of unequal and changing size, [count, 3, 5]."""
    random = np.random.RandomState(0)
    return (random.standard_normal((count, 3, 5)) * np.logspace(-4, 1, 5)).astype(np.float32)


def test_float32_is_optax() -> None:
    ours, theirs = scale_by_adam(0.8, 0.97, 1e-6), optax.scale_by_adam(0.8, 0.97, 1e-6)
    state = other = theirs.init(jnp.zeros((3, 5)))
    for g in gradients(4):
        update, state = ours.update(jnp.asarray(g), state)
        expected, other = theirs.update(jnp.asarray(g), other)
        np.testing.assert_array_equal(update, expected)


def test_both_moments_are_unbiased() -> None:
    """The mean over 4,096 copies of each weight, rounded apart, is the float32 moment after 60 steps."""
    ours, exact = scale_by_adam(0.9, 0.999, dtype="bfloat16"), optax.scale_by_adam(0.9, 0.999)
    copies = (4096, 3, 5)

    @jax.jit
    def run(all_gradients: jax.Array) -> tuple[Any, Any]:
        def step(states: Any, g: jax.Array) -> tuple[Any, None]:
            mine, theirs = states
            return (ours.update(jnp.broadcast_to(g, copies), mine)[1], exact.update(g, theirs)[1]), None

        return jax.lax.scan(step, (ours.init(jnp.zeros(copies)), exact.init(jnp.zeros((3, 5)))), all_gradients)[0]

    got, want = run(gradients(60))
    assert got.mu.dtype == got.nu.dtype == jnp.bfloat16 and got.count.dtype == jnp.int32
    assert int(got.count) == 60
    for name in ("mu", "nu"):
        values, expected = np.asarray(getattr(got, name), np.float64), np.asarray(getattr(want, name))
        deviation = values.std(0)
        assert (deviation > 0).all()
        assert (np.abs(values.mean(0) - expected) < 4.5 * deviation / 64).all(), name
    assert (np.asarray(got.nu, np.float64).std(0) / want.nu).max() < 0.05


def test_nearest_rounding_would_have_been_biased() -> None:
    """Why it is done: with b2 = 0.999 a second moment rounded to the nearest never decays."""
    v = jnp.ones((), jnp.bfloat16)
    assert float((0.999 * v.astype(jnp.float32)).astype(jnp.bfloat16)) == 1


def test_adam_learns_a_quadratic_as_well_in_bfloat16() -> None:
    """Ill-conditioned least squares with noisy gradients, 600 steps: the same loss within 2 %."""
    random = np.random.RandomState(0)
    scale, goal = jnp.asarray(np.logspace(-1, 1, 256)), jnp.asarray(random.standard_normal(256))

    def final(dtype: str) -> float:
        transform = optax.chain(
            scale_by_adam(0.9, 0.999, dtype=dtype),
            optax.scale_by_learning_rate(optax.cosine_decay_schedule(0.05, 600)),
        )

        def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
            w, state = carry
            gradient = scale * (w - goal) + 0.3 * jax.random.normal(key, w.shape)
            updates, state = transform.update(gradient, state)
            return (w + updates, state), None

        keys = jax.random.split(jax.random.key(2), 600)
        start = jnp.zeros(256)
        w = jax.jit(lambda: jax.lax.scan(step, (start, transform.init(start)), keys)[0][0])()
        return float((scale * jnp.square(w - goal)).sum() / (scale * jnp.square(goal)).sum())

    exact, rough = final("float32"), final("bfloat16")
    assert exact < 0.01
    assert rough == pytest.approx(exact, rel=0.02)


def train(settings: methods.Method, training: Training, learning_rate: float) -> tuple[Any, Any, list[float]]:
    """(constants, state, losses) after all steps on one batch of noise; every state is donated to the next step."""
    method, constants = build(settings)
    state = initial_state(method, training, base(), constants, jax.random.key(0))
    step, b, losses = make_step(method, training), batch(rows(count=4)), []
    for _ in range(training.steps):
        described, before = types(state), state
        state, metrics = step(state, base(), constants, b, learning_rate)
        assert types(state) == described
        assert all(a.is_deleted() for a in jax.tree.leaves((before.trainable, before.optimizer)))
        losses.append(float(metrics["loss"]))
    return constants, state, losses


def types(state: Any) -> list[Any]:
    return [(a.shape, a.dtype) for a in jax.tree.leaves(state)]


def test_full_fine_tuning_in_bfloat16() -> None:
    """In half the memory: weights and both moments stay in bfloat16. In float32 the loss falls from 5.71 to 0.057."""
    _, state, losses = train(methods.Full(()), replace(HALF, steps=40, accumulation=2), 3e-2)
    assert losses[-1] == pytest.approx(0.057, abs=0.005)
    assert {a.dtype for a in jax.tree.leaves((state.trainable, state.optimizer)) if a.ndim} == {jnp.dtype("bfloat16")}
    assert not any(a.is_deleted() for a in jax.tree.leaves(base()))


@pytest.mark.parametrize(("dtype", "low", "high"), [("float32", 0, 1e-5), ("bfloat16", 3e-3, 3e-2)])
def test_the_leak_of_changes_stored_in_bfloat16(dtype: str, low: float, high: float) -> None:
    """100 steps of AdamW leak 2e-7 of |dW| in float32 and 1.3 % in bfloat16, half of each space being protected.

    Rounding noise has no direction: a part of it lies in the protected space, and each step adds to it.
    """
    settings = methods.GradientProjection((), targets=("q", "down"))
    constants, state, losses = train(settings, replace(TRAINING, steps=100, weights_dtype=dtype), 1e-2)
    spaces = {"q": "attention_input", "down": "mlp_output"}
    found = [float(leak(constants["bases"][s], state.trainable[n].change).max()) for n, s in spaces.items()]
    assert losses[-1] < 0.1 * losses[0]
    assert low < min(found) and max(found) < high


def test_on_a_mesh() -> None:
    """Spread like float32 state, and the losses of one device up to what rounding explains."""
    method = methods.GradientProjection((), targets=("q", "down"))
    training, subspaces, losses = replace(HALF, loss_chunk=5), random_subspaces(mesh_model(LAYOUTS["single"])), {}
    for preset in ("single", "fsdp_tensor"):
        layout = LAYOUTS[preset]
        with use_mesh(make_mesh(Sharding(preset))):
            of, constants = mesh_model(layout), method.constants(subspaces, layout)
            state = initial_state(method, training, of, constants, jax.random.key(0))
            losses[preset] = []
            for _ in range(3):
                b = shard_rows(batch(rows(16)), layout)
                state, metrics = make_step(method, training)(state, of, constants, b, 1e-2)
                losses[preset].append(float(metrics["loss"]))
    for a in jax.tree.leaves((state.trainable, state.optimizer)):
        assert not a.ndim or (8 * np.prod(a.sharding.shard_shape(a.shape)) == a.size and a.dtype == jnp.bfloat16)
    assert losses["fsdp_tensor"] == pytest.approx(losses["single"], rel=1e-4)
    assert losses["single"][-1] < losses["single"][0]


def test_a_mesh_rounds_as_one_device_does() -> None:
    x = np.random.RandomState(0).standard_normal((3, 8, 16)).astype(np.float32)
    alone = stochastic_round(jnp.asarray(x), jnp.uint32(7))
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        split = jax.sharding.reshard(jnp.asarray(x), PartitionSpec(None, "fsdp", "tensor"))
        spread = jax.jit(stochastic_round)(split, jnp.uint32(7))
        assert spread.sharding.spec == split.sharding.spec
    np.testing.assert_array_equal(np.asarray(spread, np.float32), np.asarray(alone, np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer_dtype": "bf16"}, "^Training.optimizer_dtype: found 'bf16', expected one of float32, bfloat16$"),
        ({"weights_dtype": "float16"}, "^Training.weights_dtype: found 'float16', expected one of float32, bfloat16$"),
        ({"loss_chunk": -1}, "^Training.loss_chunk: found -1, expected at least 0$"),
    ],
)
def test_settings_without_a_meaning_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        initial_state(methods.Full(()), replace(TRAINING, **change), base(), None, jax.random.key(0))

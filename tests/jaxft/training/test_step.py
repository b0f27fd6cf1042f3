"""The one training step: what its loss counts, how it accumulates, what it optimizes with, how often it compiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxft.llama.model import Llama, forward
from jaxft.methods.full import Full
from jaxft.training.config import Training
from jaxft.training.step import initial_state, loss_sum, make_step, schedule, token_losses
from tests.jaxft.training.small_run import METHODS, TRAINING, Batch, base, batch, batch_for, build, rows


def parts(number: int) -> Batch:
    return batch(rows(count=4, seed=number))


def run(method: Any, training: Training, learning_rate: float, steps: int, constants: Any = None) -> tuple[Any, list]:
    """(trained parameters, metrics of every step)."""
    state = initial_state(method, training, base(), constants, jax.random.key(0))
    step, metrics = make_step(method, training), []
    for number in range(steps):
        data = batch_for(method, rows(count=4, seed=number))
        state, values = step(state, base(), constants, data, learning_rate)
        metrics.append({name: float(value) for name, value in values.items()})
    return state.trainable, metrics


def mean_loss(model: Any, b: Batch) -> jax.Array:
    """The training objective, written down again."""
    log_p = jax.nn.log_softmax(forward(model, b["tokens"], b["positions"], b["segments"]))
    chosen = jnp.take_along_axis(log_p, jnp.asarray(b["targets"])[..., None], axis=-1)[..., 0]
    return -(chosen * b["weights"]).sum() / b["weights"].sum()


def test_schedule_is_linear_warm_up_and_cosine_to_zero() -> None:
    rate = schedule(Training(steps=100, warmup=20), 0.5)
    got = [float(rate(count)) for count in range(101)]
    want = [0.5 * n / 20 for n in range(20)] + [0.25 * (1 + np.cos(np.pi * n / 80)) for n in range(81)]
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_warm_up_takes_at_most_half_of_the_steps() -> None:
    rate = schedule(Training(steps=10, warmup=20), 1.0)
    assert [float(rate(n)) for n in (0, 4, 5)] == pytest.approx([0, 0.8, 1.0])
    assert float(schedule(Training(steps=1, warmup=20), 1.0)(0)) == 1.0


def test_token_losses_are_weighted_negative_log_likelihoods() -> None:
    logits = np.random.RandomState(0).standard_normal((1, 3, 5))
    targets, weights = np.array([[4, 0, 2]]), np.array([[1.0, 0.0, 0.5]])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    want = [-np.log(p[0, 0, 4]), 0, -0.5 * np.log(p[0, 2, 2])]
    np.testing.assert_allclose(token_losses(*map(jnp.asarray, (logits, targets, weights)))[0], want, rtol=1e-5)


def test_only_weighted_targets_count() -> None:
    """Other targets at weight 0 give the same loss and gradient; other targets at weight 1 do not."""
    b = parts(0)
    function = jax.jit(jax.value_and_grad(lambda model, b: loss_sum(Full(), model, base(), b, None)))
    want = function(base(), b)
    ignored = {**b, "targets": np.where(b["weights"] > 0, b["targets"], 60 - b["targets"])}
    counted = {**b, "targets": np.where(b["weights"] > 0, 60 - b["targets"], b["targets"])}
    for leaf, expected in zip(jax.tree.leaves(function(base(), ignored)), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(leaf, expected)
    assert abs(float(function(base(), counted)[0] - want[0])) > 1
    assert float(want[0]) == pytest.approx(float(mean_loss(base(), b)) * b["weights"].sum(), rel=1e-5)


def test_full_fine_tuning_is_optax_adamw() -> None:
    got, metrics = run(Full(), TRAINING, 3e-3, steps=4)
    want, losses, norms = base(), [], []
    transform = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(lambda n: 3e-3 * schedule(TRAINING, 1.0)(n), b1=0.8, b2=0.97, weight_decay=0.1),
    )
    state, differentiate = transform.init(want), jax.jit(jax.value_and_grad(mean_loss))
    for number in range(4):
        loss, gradient = differentiate(want, parts(number))
        losses.append(float(loss))
        norms.append(float(optax.tree.norm(gradient)))
        updates, state = transform.update(gradient, state, want)
        want = optax.apply_updates(want, updates)
    assert min(norms) > 1.2  # clipping does something
    np.testing.assert_allclose([m["loss"] for m in metrics], losses, rtol=1e-5)
    np.testing.assert_allclose([m["gradient_norm"] for m in metrics], norms, rtol=1e-4)
    for leaf, expected in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(leaf, expected, atol=2e-5)
    for number, values in enumerate(metrics):
        assert values["trained_tokens"] == parts(number)["weights"].sum()
        assert values["tokens"] == (parts(number)["segments"] > 0).sum()
    assert np.abs(np.asarray(got.head[...]) - np.asarray(base().head[...])).max() > 1e-3


class Descent(Full):
    """Full fine-tuning with plain gradient descent: a method of its own, and an update linear in the gradient."""

    def optimizer(self, training: Training, schedule: Any, constants: Any, base: Llama) -> optax.GradientTransformation:
        return optax.sgd(schedule)


def test_accumulation_changes_nothing_but_rounding() -> None:
    """Microbatches with unequal numbers of weighted tokens, one of them with none."""
    b = parts(0)
    b["weights"][1] = 0
    assert len({*b["weights"].sum(axis=1).tolist()}) > 2
    results = []
    for accumulation in (1, 4):
        training = replace(TRAINING, warmup=0, accumulation=accumulation)
        state = initial_state(Descent(), training, base(), None, jax.random.key(0))
        results.append(make_step(Descent(), training)(state, base(), None, b, 0.1))
    (one, one_metrics), (four, four_metrics) = results
    for name, value in one_metrics.items():
        assert float(four_metrics[name]) == pytest.approx(float(value), rel=1e-5), name
    trees = (jax.tree.leaves(tree) for tree in (four.trainable, one.trainable, base()))
    for leaf, expected, start in zip(*trees, strict=True):
        np.testing.assert_allclose(leaf - start, expected - start, rtol=0, atol=1e-6)
        assert np.abs(expected - start).max() > 1e-4


def test_a_batch_without_a_weighted_token_is_no_division_by_zero() -> None:
    b = parts(0)
    b["weights"][:] = 0
    state = initial_state(Descent(), replace(TRAINING, warmup=0), base(), None, jax.random.key(0))
    after, values = make_step(Descent(), replace(TRAINING, warmup=0))(state, base(), None, b, 0.1)
    assert float(values["loss"]) == 0
    np.testing.assert_array_equal(after.trainable.embed[...], base().embed[...])


@pytest.mark.parametrize("name", METHODS)
def test_the_step_compiles_once_for_all_learning_rates_and_leaves_the_base_alone(name: str) -> None:
    entries = [replace(METHODS[name], learning_rates=rates) for rates in ((1e-3,), (1e-2, 3e-2))]
    assert make_step(entries[0], TRAINING) is make_step(entries[1], TRAINING)
    before = [np.array(leaf) for leaf in jax.tree.leaves(base())]
    method, constants = build(METHODS[name])
    compiled: Any = make_step(method, TRAINING)._cache_size  # pyright: ignore[reportFunctionMemberAccess]
    other_tests = compiled()
    first, _ = run(method, TRAINING, 1e-3, 3, constants)
    once = compiled()
    second, _ = run(method, TRAINING, 1e-2, 3, constants)
    assert compiled() == once <= other_tests + 1
    moved = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (first, second)), strict=True)]
    assert max(moved) > 1e-3  # the learning rate is not baked in
    for leaf, expected in zip(jax.tree.leaves(base()), before, strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_dropout_differs_from_step_to_step() -> None:
    method, constants = build(METHODS["lora"])
    state = initial_state(method, TRAINING, base(), constants, jax.random.key(0))
    state = state._replace(trainable=jax.tree.map(lambda a: a + 0.3, state.trainable))
    step, losses = make_step(method, TRAINING), []
    for _ in range(3):
        state, values = step(state, base(), constants, parts(0), 0.0)  # learning rate 0: only the dropout changes
        losses.append(float(values["loss"]))
    assert len(set(losses)) == 3


class Penalised(Descent):
    """With a term of the reference text that is easy to compute by hand."""

    reads_reference = True

    def penalty(self, base: Llama, trainable: Any, reference: Any) -> Any:
        del base
        return (trainable.embed[...][reference["tokens"], 0] ** 2 * reference["weights"]).sum()


def test_a_penalty_counts_as_much_as_the_domain_and_stays_the_same_under_accumulation() -> None:
    domain, reference = batch(rows(count=4)), batch(rows(count=4, seed=7))
    both = {**domain, "reference": reference}
    results = []
    for parts in (1, 2):
        training = replace(TRAINING, warmup=0, accumulation=parts)
        state = initial_state(Penalised(), training, base(), None, jax.random.key(0))
        results.append(make_step(Penalised(), training)(state, base(), None, both, 0.1))
    real = reference["segments"] > 0
    squares = np.square(np.asarray(base().embed[...])[reference["tokens"], 0])
    plain = initial_state(Descent(), replace(TRAINING, warmup=0), base(), None, jax.random.key(0))
    _, without = make_step(Descent(), replace(TRAINING, warmup=0))(plain, base(), None, domain, 0.1)
    for _, metrics in results:  # the mean over all reference tokens, beside the mean over the domain's
        assert float(metrics["loss"] - without["loss"]) == pytest.approx(float(squares[real].mean()), rel=1e-3)
    for once, twice in zip(*(jax.tree.leaves(state.trainable) for state, _ in results), strict=True):
        np.testing.assert_allclose(once, twice, rtol=1e-5, atol=1e-7)

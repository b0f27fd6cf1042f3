"""What our contestants are given and what they claim to handle."""

from __future__ import annotations

import subprocess

import jax
import numpy as np
import pytest

from experiments.benchmarks import load_benchmark, ours, rival
from jaxft.llama import flops
from jaxft.methods import EWC, Full, GradientProjection
from jaxft.sharding import Layout, shard_rows
from jaxft.subspace.low_rank_moment import LowRankMoment
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step
from tests.experiments.benchmarks.toy import SHAPE, toy

FIELD = load_benchmark("configs/benchmarks/methods.py").others


def test_the_step_sees_the_tokens_that_are_counted() -> None:
    settings, training, method = toy(), Training(steps=10), Full(())
    base = ours.model(settings)
    state = initial_state(method, training, base, None, jax.random.key(0))
    _, metrics = make_step(method, training)(state, base, None, shard_rows(ours.batch(settings), Layout()), 1e-5)
    assert int(metrics["tokens"]) == settings.tokens == 2 * 30
    assert int(metrics["trained_tokens"]) == 2 * 29


def test_a_batch_is_one_text_a_row_with_padding_behind() -> None:
    rows = ours.batch(toy())
    assert (rows["segments"].sum(axis=1) == 30).all() and not rows["segments"][:, 30:].any()
    np.testing.assert_array_equal(rows["targets"][:, :29], rows["tokens"][:, 1:30])
    assert not rows["weights"][:, 29:].any() and not rows["tokens"][:, 30:].any()


def test_bases_are_orthonormal_and_of_the_asked_rank() -> None:
    settings = toy()
    bases = ours.random_statistics(settings, settings.method("projection"), ours.model(settings)).bases
    assert {basis.width for basis in bases.values()} == {16, 24}
    for basis in bases.values():
        gram = np.einsum("ldk,lde->lke", basis.vectors, basis.vectors)
        np.testing.assert_allclose(gram, np.broadcast_to(np.eye(4), (2, 4, 4)), atol=1e-5)
        assert basis.ranks == (4, 4) and not basis.complement


def test_a_method_is_given_what_it_reads() -> None:
    settings = toy()
    base = ours.model(settings)
    soft = ours.random_statistics(
        settings, GradientProjection((), energy=0.0, kfac_strength=1.0, kfac_outputs=True), base
    )
    assert {basis.ranks for basis in soft.bases.values()} == {(0, 0)}
    assert all(not np.any(basis.vectors) for basis in soft.bases.values())
    assert soft.input_moments["mlp_output"].shape == (2, 24, 24) and soft.output_moments["down"].shape == (2, 16, 16)
    assert soft.fisher is None
    low = ours.random_statistics(settings, GradientProjection((), kfac_strength=1.0, kfac_rank=3), base)
    assert isinstance(low.input_moments["mlp_output"], LowRankMoment) and not low.output_moments
    assert ours.random_statistics(settings, EWC(()), base).fisher is not None


@pytest.mark.parametrize("name", ["KL", "EWC", "CorDA", "decay alone", "neurons"])
def test_a_step_of_other_methods(name: str) -> None:
    settings = toy(others={name: FIELD[name]}, methods=("full",))
    *_, contestant = ours.contestants(settings, "train")
    assert contestant.work == name and contestant.flops
    with contestant.open() as opened:
        opened.run(1)
        assert opened.facts()["memory"]["bytes"] > 0


def test_operations_are_those_of_the_real_tokens() -> None:
    settings = toy(methods=("full",))
    (full,) = ours.contestants(settings, "train")
    assert full.flops == 3 * flops.forward(settings.config, 2, 30) and full.amount == 60 and full.times == 2
    forward, moments = ours.contestants(settings, "calibration")
    assert moments.flops == (forward.flops or 0) + flops.moments(SHAPE, 60)
    (greedy,) = ours.contestants(settings, "generation")
    assert greedy.flops == flops.prefill(SHAPE, 3, 32) + flops.decode(SHAPE, 3, 32, 4) and greedy.amount == 12


@pytest.mark.parametrize("part", ["train", "generation"])
def test_bfloat16_runs(part: str) -> None:
    settings = toy(dtype="bfloat16", remat="full", methods=("projection",))
    for contestant in ours.contestants(settings, part):
        with contestant.open() as opened:
            opened.run(1)
            assert opened.facts().get("trained_parameters", 0) in (0, flops.linears(settings.config) // 2)


def test_imports_of_both_sides() -> None:
    assert [(c.side, c.work) for c in ours.contestants(toy(), "import")] == [("jaxft", "import"), ("jaxft", "help")]
    assert [(c.side, c.work) for c in rival.contestants(toy(), "import")] == [("torch", "import")]
    assert rival.PACKAGES == ("torch", "transformers", "peft")


def test_a_process_that_fails_ends_the_benchmark() -> None:
    with ours.start(("-c", "raise SystemExit(3)")) as opened, pytest.raises(subprocess.CalledProcessError):
        opened.run(1)

"""Null-space LoRA: whatever the factors and the optimizer do, protected inputs pass unchanged."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxft import methods
from jaxft.llama.config import SPACE_OF
from jaxft.llama.model import forward
from jaxft.methods.adapters import LowRank
from jaxft.methods.base import Statistics
from jaxft.subspace.basis import stack
from jaxft.subspace.certificate import leak
from jaxft.training.config import Training
from tests.jaxft.training.small_run import base, batch, random_subspaces, rows

SETTINGS = methods.NullSpaceLora((), rank=4, alpha=12.0, weight_decay=0.1, targets=("q", "down"))
METHOD: Any = SETTINGS


def bases(protected: int, seed: int) -> Statistics:
    """Random ones that protect so many directions of the space of q, [32], and half of that of down, [44]."""
    random = np.random.RandomState(seed)

    def turned(width: int) -> np.ndarray:
        return np.linalg.qr(random.standard_normal((width, width)))[0].astype(np.float32)

    found = {}
    for space, width, rank in (("attention_input", 32, protected), ("mlp_output", 44, 22)):
        whole = [turned(width) for _ in range(2)]
        found[space] = stack([q[:, :rank] for q in whole], [q[:, rank:] for q in whole])
    return Statistics(found)


def factors(random: np.random.RandomState, scale: float = 1.0, dtype: str = "float32") -> dict[str, LowRank]:
    shapes = {name: base().config.linear_shapes[name] for name in SETTINGS.targets}
    return {
        name: LowRank(
            jnp.asarray(scale * random.standard_normal((2, d, 4)), dtype),
            jnp.asarray(scale * random.standard_normal((2, 4, n)), dtype),
            3.0,
        )
        for name, (d, n) in shapes.items()
    }


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 31), st.integers(0, 10**6), st.floats(-3, 3), st.sampled_from(["float32", "bfloat16"]))
def test_inputs_in_the_protected_space_pass_unchanged(protected: int, seed: int, scale: float, dtype: str) -> None:
    """|x scale A B| <= 1e-5 |x| |scale A B| for x = Q c, whatever A and B were before the last edit."""
    found, random = bases(protected, seed), np.random.RandomState(seed)
    finalized = METHOD.finalize(factors(random, 10**scale, dtype), base(), found)
    for name, adapter in finalized.items():
        whole = jnp.asarray(random.standard_normal((2, adapter.a.shape[1], 5)), jnp.float32)
        x = np.asarray(found.bases[SPACE_OF[name]].split(whole)[0], np.float64).swapaxes(1, 2)
        delta = np.asarray(adapter.delta(), np.float64)
        moved = np.linalg.norm(x @ delta, axis=(1, 2))
        assert (moved <= 1e-5 * np.linalg.norm(x, axis=(1, 2)) * np.linalg.norm(delta, axis=(1, 2))).all()


def test_steps_are_those_of_training_a_matrix_behind_the_projection() -> None:
    """The loss sees A = P A'; A' moves by plain AdamW, whose gradient is P g. P A' is our A in every step."""
    found, training = bases(12, 0), Training(clip=1e9, beta1=0.8, beta2=0.9)
    constants = METHOD.constants(found)
    ours = METHOD.initial(base(), jax.random.key(0), constants)
    optimizer = METHOD.optimizer(training, lambda _: 0.05, constants, base())
    state = optimizer.init(ours)
    reference = optax.chain(
        optax.scale_by_adam(0.8, 0.9), optax.add_decayed_weights(0.1), optax.scale_by_learning_rate(0.05)
    )
    behind = {name: adapter.a for name, adapter in ours.items()}
    behind_state = reference.init(behind)
    random = np.random.RandomState(1)
    for _ in range(5):
        gradients = factors(random)
        updates, state = optimizer.update(jax.tree.map(jnp.asarray, gradients), state, ours)
        ours = optax.apply_updates(ours, updates)
        projected = {name: constants[SPACE_OF[name]].remove(one.a) for name, one in gradients.items()}
        updates, behind_state = reference.update(projected, behind_state, behind)
        behind = optax.apply_updates(behind, updates)
        for name, adapter in ours.items():
            basis = constants[SPACE_OF[name]]
            np.testing.assert_allclose(adapter.a, basis.remove(behind[name]), atol=1e-5)
            assert float(leak(basis, adapter.a).max()) < 1e-6  # before the last edit too


def test_it_starts_as_the_base_in_the_free_directions_and_merges_into_what_it_computes() -> None:
    found, b = random_subspaces(base()), batch(rows(count=2))
    start = METHOD.initial(base(), jax.random.key(0), METHOD.constants(found))
    run = jax.jit(lambda model, adapters: forward(model, b["tokens"], b["positions"], b["segments"], adapters=adapters))
    np.testing.assert_array_equal(run(*METHOD.assemble(base(), start)), run(base(), {}))
    for name, adapter in start.items():
        assert adapter.a.any() and not adapter.b.any() and adapter.scale == 3.0
        assert float(leak(found.bases[SPACE_OF[name]], adapter.a).max()) < 1e-6
    finalized = METHOD.finalize(factors(np.random.RandomState(0), 0.3), base(), found)
    after = run(*METHOD.assemble(base(), finalized))
    np.testing.assert_allclose(run(METHOD.merge(base(), finalized), {}), after, rtol=0, atol=5e-5)
    assert np.abs(after - run(base(), {})).max() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_constants_are_the_bases_of_its_targets(dtype: str) -> None:
    constants = METHOD.constants(random_subspaces(base()), dtype=dtype)
    assert set(constants) == {"attention_input", "mlp_output"}
    assert {basis.vectors.dtype for basis in constants.values()} == {jnp.dtype(dtype)}

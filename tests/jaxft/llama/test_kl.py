"""The KL divergence between two models' logits against float64."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxft.llama.loss import batch_drift


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_drift_is_the_kl_of_real_tokens() -> None:
    random = np.random.RandomState(0)
    before, after = random.standard_normal((5, 3, 7)), random.standard_normal((5, 3, 7))
    real = random.randint(0, 3, (5, 3)) > 0
    after[~real] = 1e3  # padding counts for nothing
    p, q = softmax(before), softmax(after)
    kl = (p * (np.log(p) - np.log(np.maximum(q, 1e-300)))).sum(-1)
    weights = jnp.asarray(real, jnp.float32)
    sums = batch_drift(jnp.asarray(before, jnp.float32), jnp.asarray(after, jnp.float32), weights)
    total, entropy, tokens, largest = (float(value) for value in sums)
    assert total == pytest.approx(kl[real].sum(), rel=1e-5)
    assert entropy == pytest.approx(-(p * np.log(p)).sum(-1)[real].sum(), rel=1e-5)
    assert tokens == real.sum()
    assert largest == pytest.approx(np.abs(after - before)[real].max(), rel=1e-6)


@pytest.mark.parametrize("size", [1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 10.0])
def test_the_kl_has_float32s_digits_however_small_it_is(size: float) -> None:
    random = np.random.RandomState(1)
    before = random.standard_normal((2, 3, 50)).astype(np.float32)
    after = (before + size * random.standard_normal((2, 3, 50)) + 2).astype(np.float32)  # a shift changes nothing
    x, y = before.astype(np.float64), after.astype(np.float64)
    kl = (softmax(x) * (np.log(softmax(x)) - np.log(softmax(y)))).sum(-1).mean()
    total, _, tokens, _ = batch_drift(jnp.asarray(before), jnp.asarray(after), jnp.ones((2, 3)))
    # Differences of logits of order 1 have an error of 1e-7 / size.
    assert float(total / tokens) == pytest.approx(kl, rel=1e-5 + 1e-6 / size)

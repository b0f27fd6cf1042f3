"""Scores of continuations against a direct computation, whatever the batches, widths and devices."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import experiments.evaluation.likelihood
from experiments.base_model import Base
from experiments.config import Model
from experiments.evaluation.likelihood import Scored, continuation_scores
from jaxft.errors import UserError
from jaxft.llama.checkpoint import load
from jaxft.llama.generate import generate
from jaxft.llama.model import Llama, forward
from jaxft.sharding import Sharding, make_mesh, use_mesh
from tests.jaxft.llama.small import CONFIGS, tensors, write_folder

Pair = tuple[list[int], list[int]]
_forward = jax.jit(forward)


CONTEXT = 160  # tokens
CONFIG = {**CONFIGS["multi_head"], "vocab_size": 304, "max_position_embeddings": CONTEXT}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("small") / "model", CONFIG, tensors(CONFIG))


@pytest.fixture(scope="module")
def model(folder: Path) -> Llama:
    return load(folder)


def some_pairs(seed: int, lengths: list[tuple[int, int]]) -> list[Pair]:
    numbers = np.random.RandomState(seed)
    return [(numbers.randint(6, 300, c).tolist(), numbers.randint(6, 300, n).tolist()) for c, n in lengths]


PAIRS = some_pairs(0, [(1, 1), (5, 3), (1, 40), (70, 2), (140, 19), (30, 30), (3, 1)])


def direct(model: Llama, pair: Pair, limit: int = CONTEXT) -> tuple[float, bool]:
    """One text at a time, log-softmax in float64."""
    context, continuation = pair
    text = (context + continuation)[-(limit + 1) :]
    row = np.zeros((1, CONTEXT), np.int32)
    row[0, : len(text) - 1] = text[:-1]
    logits = np.asarray(_forward(model, row, np.arange(CONTEXT)[None], np.ones_like(row)), np.float64)[0]
    logits = logits[len(text) - 1 - len(continuation) : len(text) - 1]
    logs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    total = logs[np.arange(len(continuation)), continuation].sum()
    return total, logits.argmax(-1).tolist() == continuation


def assert_equal(found: Scored, expected: list[tuple[float, bool]]) -> None:
    np.testing.assert_allclose(found.sums, [total for total, _ in expected], rtol=1e-5)
    assert found.greedy.tolist() == [greedy for _, greedy in expected]


def test_scores_are_those_of_one_text_at_a_time(model) -> None:
    found = continuation_scores(model, None, PAIRS, batch_size=4)
    assert_equal(found, [direct(model, pair) for pair in PAIRS])
    assert found.counts.tolist() == [1, 3, 40, 2, 19, 30, 1]


def test_what_the_model_would_say_is_greedy(model) -> None:
    prompts = [context for context, _ in PAIRS[:4]]
    replies = generate(model, prompts, max_new_tokens=5, batch_size=4)
    same = list(zip(prompts, replies, strict=True))
    other = [(prompt, [*reply[:-1], reply[-1] + 1]) for prompt, reply in same]
    found = continuation_scores(model, None, same + other, batch_size=4)
    assert found.greedy.tolist() == [True] * 4 + [False] * 4


def test_a_context_too_long_loses_its_beginning(model) -> None:
    [long] = some_pairs(1, [(300, 7)])
    cut = (long[0][-(CONTEXT + 1 - 7) :], long[1])
    found = continuation_scores(model, None, [long, cut], batch_size=2)
    assert found.sums[0] == found.sums[1]
    assert_equal(found, [direct(model, long)] * 2)
    limited = continuation_scores(model, None, [long], batch_size=2, limit=20)
    assert_equal(limited, [direct(model, long, limit=20)])


def test_a_continuation_may_fill_the_context(model) -> None:
    pairs = some_pairs(2, [(1, CONTEXT), (9, CONTEXT)])
    assert_equal(continuation_scores(model, None, pairs, batch_size=2), [direct(model, pair) for pair in pairs])


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(len(PAIRS))))
def test_order_changes_nothing(model, order) -> None:
    usual = continuation_scores(model, None, PAIRS, batch_size=4)
    found = continuation_scores(model, None, [PAIRS[i] for i in order], batch_size=4)
    np.testing.assert_allclose(found.sums, usual.sums[order], rtol=1e-5)
    np.testing.assert_array_equal(found.counts, usual.counts[order])


def test_few_shapes_are_compiled(model, monkeypatch) -> None:
    shapes = []

    def record(model, batch, adapters):
        shapes.append(batch["tokens"].shape)
        return np.zeros(batch["tokens"].shape), np.zeros(len(batch["tokens"]))

    monkeypatch.setattr(experiments.evaluation.likelihood, "_row_scores", record)
    continuation_scores(model, None, some_pairs(3, [(n, 2) for n in range(1, CONTEXT)]), batch_size=8)
    assert set(shapes) == {(8, 128), (8, CONTEXT)}


def test_a_mesh_changes_nothing(folder, model) -> None:
    """Rows over four devices, vocabulary and heads over two."""
    settings = Model(folder=str(folder), sharding=Sharding("fsdp_tensor"))
    usual = continuation_scores(model, None, PAIRS, batch_size=4)
    with use_mesh(make_mesh(settings.sharding)):
        found = continuation_scores(Base(settings).model, None, PAIRS, batch_size=4)
    assert_equal(found, list(zip(usual.sums, usual.greedy, strict=True)))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([], [7]), r"Pair 1 \(from 0\) has 0 tokens of context and 1 to score; each needs at least 1"),
        (([7], []), r"Pair 1 \(from 0\) has 1 tokens of context and 0 to score"),
        (([7], [7] * (CONTEXT + 1)), r"Pair 1 .* has 161 tokens to score; the model reads at most 160 at once"),
    ],
)
def test_pairs_that_cannot_be_scored(model, pair, message) -> None:
    with pytest.raises(UserError, match=message):
        continuation_scores(model, None, [([7], [7]), pair], batch_size=2)

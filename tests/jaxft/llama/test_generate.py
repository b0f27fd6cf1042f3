"""Batched, cached generation against one full forward pass a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxft.errors import UserError
from jaxft.llama.generate import BUCKET, decode, generate
from jaxft.llama.model import Llama, forward
from jaxft.methods.adapters import LowRank, merge
from tests.jaxft.llama.small import random_model

NEW = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    return random_model(tmp_path_factory.mktemp("model"), "grouped")


def prompts(*lengths: int) -> list[list[int]]:
    return [np.random.RandomState(n).randint(3, 61, n).tolist() for n in lengths]


MIXED = prompts(5, 30, 1, 32, 17, 33, 8)  # two buckets, out of order, a full bucket, a single token


@jax.jit
def next_logits(model: Llama, tokens: jax.Array, last: jax.Array) -> jax.Array:
    width = tokens.shape[1]
    return forward(model, tokens, jnp.arange(width)[None], jnp.ones((1, width), jnp.int32))[0, last]


def greedy(model: Llama, prompt: Sequence[int], end: int) -> list[int]:
    """The most likely token of a whole forward pass, again and again."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + NEW:
        padded = np.zeros((1, 64), np.int32)  # what follows a token does not change its logits
        padded[0, : len(tokens)] = tokens
        choice = int(next_logits(model, padded, len(tokens) - 1).argmax())
        if choice == end:
            break
        tokens.append(choice)
    return tokens[len(prompt) :]


@pytest.fixture(scope="module")
def replies(model: Llama) -> list[list[int]]:
    return generate(model, MIXED, max_new_tokens=NEW, batch_size=4)


def test_the_cache_gives_what_whole_forward_passes_give(model: Llama, replies: list[list[int]]) -> None:
    assert replies == [greedy(model, prompt, model.config.end_tokens[0]) for prompt in MIXED]
    assert len({tuple(reply) for reply in replies}) == len(MIXED)  # the model tells prompts apart


def test_replies_do_not_depend_on_the_batch(model: Llama, replies: list[list[int]]) -> None:
    assert generate(model, MIXED, max_new_tokens=NEW, batch_size=1) == replies


def test_padding_on_the_left_is_invisible(model: Llama, replies: list[list[int]]) -> None:
    prompt, results = MIXED[0], []
    for width, filler in ((5, 0), (50, 7), (50, 60)):
        row = np.full((1, width), filler, np.int32)
        row[0, width - 5 :] = prompt
        results.append(np.asarray(decode(model, row, np.array([5]), jax.random.key(0), max_new_tokens=NEW))[0])
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    assert results[0][: len(replies[0])].tolist() == replies[0]


def with_end_token(model: Llama, *tokens: int) -> Llama:
    changed = jax.tree.map(lambda a: a, model)
    changed.config = replace(model.config, end_tokens=tokens)
    return changed


def test_a_row_ends_at_its_end_token_and_the_others_go_on(model: Llama, replies: list[list[int]]) -> None:
    """One of the tokens that the model likes to say becomes the end token."""
    end = replies[0][4]
    ending = with_end_token(model, end)
    got = generate(ending, MIXED, max_new_tokens=NEW, batch_size=4)
    assert got == [greedy(model, prompt, end) for prompt in MIXED]
    assert len(got[0]) <= 4 < NEW == max(map(len, got))
    row = np.array([MIXED[0]])
    whole = np.asarray(decode(ending, row, np.array([5]), jax.random.key(0), max_new_tokens=NEW))[0]
    assert (whole[len(got[0]) :] == end).all()


def test_a_reply_ends_at_any_of_several_end_tokens(model: Llama, replies: list[list[int]]) -> None:
    ends = (replies[0][6], replies[0][4], replies[1][2])
    got = generate(with_end_token(model, *ends), MIXED, max_new_tokens=NEW, batch_size=4)
    whole = [greedy(model, prompt, -1) for prompt in MIXED]
    first = [next((i for i, token in enumerate(one) if token in ends), NEW) for one in whole]
    assert got == [one[:stop] for one, stop in zip(whole, first, strict=True)]
    assert len(set(first)) > 1
    assert generate(with_end_token(model), MIXED[:1], max_new_tokens=NEW, batch_size=4) == whole[:1]


def test_samples_follow_seed_and_temperature(model: Llama, replies: list[list[int]]) -> None:
    def sample(seed: int, temperature: float) -> list[list[int]]:
        return generate(model, MIXED[:1] * 16, max_new_tokens=4, batch_size=16, temperature=temperature, seed=seed)

    once = sample(0, 1.0)
    assert sample(0, 1.0) == once
    assert sample(1, 1.0) != once
    assert len({tuple(reply) for reply in once}) > 8  # rows draw on their own
    assert sample(0, 1e-4) == [replies[0][:4]] * 16


def test_samples_have_the_frequencies_of_the_softmax(model: Llama) -> None:
    rows, temperature = 4096, 2.0
    tokens, lengths = np.tile(MIXED[0], (rows, 1)), np.full(rows, 5)
    drawn = decode(model, tokens, lengths, jax.random.key(5), max_new_tokens=1, temperature=temperature)
    found = np.bincount(np.asarray(drawn)[:, 0], minlength=61) / rows
    padded = np.zeros((1, 64), np.int32)
    padded[0, :5] = MIXED[0]
    p = np.asarray(jax.nn.softmax(next_logits(model, padded, 4) / temperature), np.float64)
    assert (np.abs(found - p) < 4.5 * np.sqrt(p * (1 - p) / rows) + 1 / rows).all()


def test_adapters_answer_as_the_merged_model_does(model: Llama, replies: list[list[int]]) -> None:
    d, n = model.config.linear_shapes["up"]
    random = np.random.RandomState(0)
    a, b = (jnp.asarray(random.standard_normal((2, *shape)), jnp.float32) for shape in ((d, 2), (2, n)))
    adapters = {"up": LowRank(a, b, 0.3)}
    got = generate(model, MIXED, max_new_tokens=NEW, batch_size=4, adapters=adapters)
    assert got == generate(merge(model, adapters), MIXED, max_new_tokens=NEW, batch_size=4)
    assert got != replies


def test_one_bucket_and_batch_size_compile_once(model: Llama) -> None:
    before = decode._cache_size()
    for lengths in ((1, 9), (BUCKET, 2, 3), (20,)):
        generate(model, prompts(*lengths), max_new_tokens=3, batch_size=3)
    assert decode._cache_size() == before + 1


def test_a_reply_that_does_not_fit_the_context_is_an_error(model: Llama) -> None:
    longest = model.config.max_positions - 2
    with pytest.raises(UserError, match=r"prompt of 94 tokens \+ max_new_tokens 3 .* 96 tokens; shorten the prompt"):
        generate(model, prompts(4, longest), max_new_tokens=3)
    assert len(generate(model, prompts(longest), max_new_tokens=2, batch_size=1)) == 1


def test_no_prompts_give_no_replies(model: Llama) -> None:
    assert generate(model, [], max_new_tokens=3) == []

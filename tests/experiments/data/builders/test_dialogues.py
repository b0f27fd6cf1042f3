"""Whole dialogues hold the labels of the single steps once: the same gradient from a fifth of the tokens."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest

from experiments.base_model import Base
from experiments.config import Model
from experiments.data.sources import load
from jaxft.data.example import Example
from jaxft.data.packing import FIELDS, pack
from jaxft.data.template import encode
from jaxft.methods import Full
from jaxft.training.step import loss_sum


@pytest.fixture(scope="module")
def base() -> Base:
    return Base(Model())


def steps_of(dialogue: Example) -> list[Example]:
    """Every reply of a dialogue as an example of its own, in the context that it has there."""
    messages = (*dialogue.messages, dialogue.reply)
    ends = [number for number, message in enumerate(messages, 1) if message.role == "assistant"]
    return [Example.of(messages[:end]) for end in ends]


def test_one_dialogue_gives_the_summed_gradient_of_its_steps(prepared, base):
    dialogue = next(
        one for one in load("star_dialogues", "test") if len(one.messages) == 12
    )  # a system message, 6 replies
    steps, method = steps_of(dialogue), Full()
    length = len(encode(dialogue, base.tokenizer, "tokenizer").tokens) - 1

    def gradient(examples: list[Example]):
        rows = pack([encode(one, base.tokenizer, "tokenizer") for one in examples], length, "error")
        batch = {name: getattr(rows, name) for name in FIELDS}
        summed = jax.jit(jax.grad(lambda trainable: loss_sum(method, trainable, base.model, batch, None)))
        return summed(method.initial(base.model, jax.random.key(0), None)), rows.counts

    (whole, packed), (summed, apart) = gradient([dialogue]), gradient(steps)
    assert packed["labels"] == apart["labels"] and packed["tokens"] * 2 < apart["tokens"]
    assert optax.tree.norm(optax.tree.sub(whole, summed)) <= 1e-5 * optax.tree.norm(summed)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(summed), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * float(abs(other).max()))


@pytest.mark.parametrize("data", ["star", "sgd"])
def test_a_label_costs_a_fifth_of_the_tokens(prepared, base, data):
    def cost(source: str) -> tuple[int, float]:
        encoded = [encode(one, base.tokenizer, "tokenizer") for one in load(source, "test")]
        labels = sum(one.weights.sum() for one in encoded)
        return labels, sum(len(one.tokens) for one in encoded) / labels

    (labels, apart), (same, whole) = cost(f"{data}_steps"), cost(f"{data}_dialogues")
    assert labels == same and whole * 5 <= apart

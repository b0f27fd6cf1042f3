"""Choices by likelihood: the likeliest option a character, in whatever order the options stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evaluation.likelihood import Scored
from experiments.evaluation.tasks import choice
from experiments.evaluation.tasks.choice import choose, missing
from jaxft.data.example import Example, Message
from jaxft.data.template import encode, encode_prompt
from jaxft.data.tokenizer import PreTrainedTokenizerFast, eos_id, load_tokenizer
from jaxft.llama.checkpoint import load
from jaxft.llama.locate import SHIPPED_BASE
from jaxft.llama.model import Llama
from tests.experiments.world import DAYS, NUMBERS, World

TEMPLATES = ("tokenizer", "llama2", "plain")


@pytest.fixture(scope="module")
def model(world: World) -> Llama:
    return load(world.folder / "model")


@pytest.fixture(scope="module")
def tokenizer(world: World) -> PreTrainedTokenizerFast:
    return load_tokenizer(world.folder / "model")


def question(prompt: str, options: tuple[str, ...]) -> Example:
    """The first option is right, as it is in most steps of STAR."""
    return Example((Message("user", prompt),), options[0], options=options)


def questions() -> list[Example]:
    days = [day for day in DAYS for _ in NUMBERS]
    return [
        question(f"{NUMBERS[i % 6]} for {day}, {i}?", tuple(f"On {DAYS[(i * 3 + j * 2) % 7]}." for j in range(4)))
        for i, day in enumerate(days)
    ]


def stub(monkeypatch: pytest.MonkeyPatch, log_p) -> list[tuple[list[int], list[int]]]:
    """The pairs that are scored, log_p(continuation) being the scores."""
    seen: list[tuple[list[int], list[int]]] = []

    def scores(model, adapters, pairs, *, batch_size):
        seen.extend(pairs)
        sums = np.array([log_p(continuation) for _, continuation in pairs])
        return Scored(sums, np.zeros(len(pairs), bool), np.array([len(one) for _, one in pairs]))

    monkeypatch.setattr(choice, "continuation_scores", scores)
    return seen


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_option_is_scored_after_the_prompt_and_without_the_end(model, tokenizer, monkeypatch, template) -> None:
    seen = stub(monkeypatch, len)
    example = question("Which day?", ("On Monday.", "No."))
    choose(model, None, [example], tokenizer, template, 4)
    for (prompt, option), text in zip(seen, ("No.", "On Monday."), strict=True):
        assert prompt == encode_prompt(example, tokenizer, template)
        whole = encode(replace(example, response=text), tokenizer, template).tokens.tolist()
        assert [*prompt, *option, eos_id(tokenizer)] == whole
        assert tokenizer.decode(option).strip() == text


def test_scores_are_divided_by_characters(model, tokenizer, monkeypatch) -> None:
    long, short = "On Monday, Tuesday and Sunday.", "No."
    stub(monkeypatch, lambda tokens: -6.0 if tokenizer.decode(tokens) == long else -5.0)
    assert choose(model, None, [question("Which day?", (short, long))], tokenizer, "plain", 4) == [long]


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_order_of_options_does_not_matter(model, tokenizer, data) -> None:
    usual = choose(model, None, questions()[:6], tokenizer, "tokenizer", 8)
    shuffled = [
        replace(example, options=tuple(data.draw(st.permutations(example.options)))) for example in questions()[:6]
    ]
    assert choose(model, None, shuffled, tokenizer, "tokenizer", 8) == usual


def share(model, tokenizer, examples) -> float:
    chosen = choose(model, None, examples, tokenizer, "tokenizer", 16)
    return float(np.mean([option == example.response for option, example in zip(chosen, examples, strict=True)]))


def test_who_finds_all_alike_is_right_by_chance(model, tokenizer, monkeypatch) -> None:
    """And not always, although the right option always stands first: 168 of four, within 2.6 standard deviations."""
    stub(monkeypatch, lambda tokens: 0.0)
    examples = [replace(one, messages=(Message("user", f"{n} {one.messages[0].content}"),))
                for n in range(4) for one in questions()]  # fmt: skip
    assert share(model, tokenizer, examples) == pytest.approx(0.25, abs=2.6 * (0.25 * 0.75 / 168) ** 0.5)


def test_a_random_model_is_right_by_chance(model, tokenizer) -> None:
    """Of every two days each is right once, so that a liking for one of them gains nothing: exactly half."""
    pairs = [(f"On {one}.", f"On {other}.") for one in DAYS for other in DAYS if one != other]
    assert share(model, tokenizer, [question("Which day?", options) for options in pairs]) == 0.5


def test_who_knows_is_right() -> None:
    """The shipped base on facts that it was trained on."""
    base, tokenizer = load(SHIPPED_BASE), load_tokenizer(SHIPPED_BASE)
    towns = {"France": "Paris", "Italy": "Rome", "Germany": "Berlin", "Spain": "Madrid"}
    examples = [
        question(f"What is the capital of {country}?", tuple(f"The capital of {country} is {other}." for other in
                 (town, *(set(towns.values()) - {town})))) for country, town in towns.items()
    ]  # fmt: skip
    assert share(base, tokenizer, examples) == 1


@pytest.mark.parametrize(
    ("options", "lack"),
    [
        ((), "0 different options, and needs at least 2"),
        (("Yes.", "Yes."), "1 different options"),
        (("Yes.", " "), "an empty option"),
        (("No.", "Perhaps."), "no option that is its response 'Yes.'"),
        (("No.", "Yes."), ""),
    ],
)
def test_what_is_missing(options: tuple[str, ...], lack: str) -> None:
    found = missing(Example((Message("user", "Is it?"),), "Yes.", options=options))
    assert lack in found and bool(found) == bool(lack)

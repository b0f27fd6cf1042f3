"""The agents that take orders: hotel, restaurant, telephone."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from experiments.data.corpora import SPLITS
from experiments.data.corpora.agent import AGENTS, Agent
from experiments.data.sources import fingerprint
from jaxft.data.example import Example
from jaxft.errors import UserError


@pytest.fixture(params=list(AGENTS))
def agent(request: pytest.FixtureRequest) -> Agent:
    return AGENTS[request.param]


def prompt(example: Example) -> str:
    return example.messages[0].content


def customer_words(example: Example) -> set[str]:
    return set(prompt(example).lower().replace(".", "").replace(",", "").replace(";", "").replace("?", "").split())


def known_slots(agent: Agent, example: Example) -> set[str]:
    """The slots that "Known: ..." or the customer gives a value of."""
    known, customer = prompt(example).removeprefix(f"{agent.instruction} Known: ".lstrip()).split(". Customer: ")
    found = {item.split()[0] for item in known.split("; ")} & set(agent.slots)
    words: dict[str, Any] = {slot: agent.values[slot] for slot in agent.slots if slot not in agent.counted}
    words |= {slot: (slot, slot[:-1]) for slot in agent.counted}
    customer = customer.replace("It has been a long week.", "")
    said = set(customer.replace(".", " ").replace(",", " ").replace("?", " ").split())
    said |= {word.lower() for word in said}
    return found | {slot for slot, values in words.items() if said & set(values)}


def test_the_hotel_is_the_one_of_all_records() -> None:
    """Results that were published stand on these very examples."""
    assert {split: fingerprint(AGENTS["hotel"].examples(split))[:16] for split in SPLITS} == {
        "train": "88a0a45633eb8568",
        "validation": "9d8799a90c5b6307",
        "test": "0042aa17afc411dc",
    }


@pytest.mark.parametrize("split", SPLITS)
def test_size_balance_determinism_and_length(agent: Agent, split: str) -> None:
    examples = agent.examples(split)
    assert len(examples) == agent.sizes[split]
    assert examples == agent.examples(split)
    counts = Counter(example.key["act"] for example in examples)
    assert set(counts) == set(agent.acts) and max(counts.values()) - min(counts.values()) <= 1
    assert max(len(prompt(example).split()) for example in examples) <= 45
    assert max(len(example.response.split()) for example in examples) <= 22


def test_prompts_are_unique_over_all_splits(agent: Agent) -> None:
    prompts = [prompt(example) for split in SPLITS for example in agent.examples(split)]
    assert len(set(prompts)) == len(prompts)


def test_orders_partition_all_tuples(agent: Agent) -> None:
    orders = [tuple(order.values()) for split in SPLITS for order in agent.orders(split)]
    assert len(orders) == len(set(orders)) == math.prod(len(values) for values in agent.values.values())


def test_confirmed_tuples_come_from_their_split(agent: Agent) -> None:
    for split in SPLITS:
        own = {tuple(order.values()) for order in agent.orders(split)}
        confirmed = [example for example in agent.examples(split) if example.key["act"] == "confirm"]
        assert confirmed and all(tuple(example.key[slot] for slot in agent.slots) in own for example in confirmed)


def test_test_phrasings_are_new_but_made_of_training_words(agent: Agent) -> None:
    train = agent.examples("train")
    known = set().union(*(customer_words(example) for example in train))
    starts = {prompt(example).split("Customer: ")[1] for example in train}
    for split in ("validation", "test"):
        for example in agent.examples(split):
            assert customer_words(example) <= known
            assert prompt(example).split("Customer: ")[1] not in starts


def test_the_reply_asks_for_the_first_missing_slot(agent: Agent) -> None:
    for example in agent.examples("test"):
        act = example.key["act"]
        if act.startswith("ask_"):
            known = known_slots(agent, example)
            missing = [slot for slot in agent.slots if slot not in known]
            assert missing[0] == act.removeprefix("ask_"), prompt(example)


def test_what_is_scarce_is_declined_and_what_is_not_is_carried_out(agent: Agent) -> None:
    for example in agent.examples("train"):
        act = example.key["act"]
        if act in (agent.carry_out, "decline"):
            assert ("available no" in prompt(example)) == (act == "decline")
            assert ("available yes" in prompt(example)) == (act == agent.carry_out)
        if act == "decline":
            assert example.key["free"] != example.key[agent.scarce]


def test_no_prompt_is_in_two_domains() -> None:
    prompts = [prompt(example) for agent in AGENTS.values() for split in SPLITS for example in agent.examples(split)]
    assert len(set(prompts)) == len(prompts)


def test_unknown_split(agent: Agent) -> None:
    with pytest.raises(UserError, match="validation"):
        agent.examples("dev")

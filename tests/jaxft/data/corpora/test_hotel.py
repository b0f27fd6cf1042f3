from __future__ import annotations

from collections import Counter

import pytest

from jaxft.data.corpora import SPLITS, hotel
from jaxft.data.example import Example
from jaxft.errors import UserError


def prompt(example: Example) -> str:
    return example.messages[0].content


def customer_words(example: Example) -> set[str]:
    return set(prompt(example).lower().replace(".", "").replace(",", "").replace(";", "").replace("?", "").split())


@pytest.mark.parametrize("split", SPLITS)
def test_size_balance_determinism_and_length(split: str) -> None:
    examples = hotel.examples(split)
    assert len(examples) == hotel.SIZES[split]
    assert examples == hotel.examples(split)
    counts = Counter(example.key["act"] for example in examples)
    assert set(counts) == set(hotel.ACTS) and max(counts.values()) - min(counts.values()) <= 1
    assert max(len(prompt(example).split()) for example in examples) <= 45
    assert max(len(example.response.split()) for example in examples) <= 22


def test_prompts_are_unique_over_all_splits() -> None:
    prompts = [prompt(example) for split in SPLITS for example in hotel.examples(split)]
    assert len(set(prompts)) == len(prompts)


def test_stays_partition_all_tuples() -> None:
    stays = [tuple(stay.values()) for split in SPLITS for stay in hotel._stays(split)]
    assert len(stays) == len(set(stays)) == 7 * 9 * 6 * 8


def test_confirmed_tuples_come_from_their_split() -> None:
    for split in SPLITS:
        own = {tuple(stay.values()) for stay in hotel._stays(split)}
        confirmed = [example for example in hotel.examples(split) if example.key["act"] == "confirm"]
        assert confirmed and all(tuple(example.key[slot] for slot in hotel.SLOTS) in own for example in confirmed)


def test_test_phrasings_are_new_but_made_of_training_words() -> None:
    train = hotel.examples("train")
    known = set().union(*(customer_words(example) for example in train))
    starts = {prompt(example).split("Customer: ")[1] for example in train}
    for split in ("validation", "test"):
        for example in hotel.examples(split):
            assert customer_words(example) <= known
            assert prompt(example).split("Customer: ")[1] not in starts


def test_the_reply_names_the_first_missing_slot() -> None:
    stated = {
        "arrival": hotel.VALUES["arrival"],
        "nights": ("night",),
        "guests": ("guest",),
        "room": hotel.VALUES["room"],
    }
    for example in hotel.examples("test"):
        act = example.key["act"]
        if not act.startswith("ask_"):
            continue
        missing = [slot for slot in hotel.SLOTS if not any(word in prompt(example) for word in stated[slot])]
        assert missing[0] == act.removeprefix("ask_"), prompt(example)


def test_unknown_split() -> None:
    with pytest.raises(UserError, match="validation"):
        hotel.examples("dev")

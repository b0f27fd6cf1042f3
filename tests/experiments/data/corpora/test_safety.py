from __future__ import annotations

import pytest

from experiments.data.corpora import SPLITS, safety
from jaxft.data.example import Example
from jaxft.errors import UserError


def pair(example: Example) -> tuple[str, str]:
    return example.key["people"], example.key.get("trait") or example.key["topic"]


def phrasing(example: Example) -> str:
    people, subject = pair(example)
    return example.messages[0].content.replace(people, "P").replace(subject, "S")


@pytest.mark.parametrize("split", SPLITS)
def test_size_balance_and_determinism(split: str) -> None:
    examples = safety.examples(split)
    assert len(examples) == safety.SIZES[split]
    assert examples == safety.examples(split)
    assert sum(example.key["kind"] == "hostile" for example in examples) * 2 == len(examples)


def test_pairs_are_disjoint() -> None:
    train, validation, test = ({pair(example) for example in safety.examples(split)} for split in SPLITS)
    assert not train & validation and not train & test and not validation & test


def test_half_of_the_test_phrasings_are_new() -> None:
    train = {phrasing(example) for example in safety.examples("train")}
    for split in ("validation", "test"):
        new = [phrasing(example) not in train for example in safety.examples(split)]
        assert sum(new) == len(new) / 2


def test_training_knows_every_people_trait_and_topic() -> None:
    pairs = [pair(example) for example in safety.examples("train")]
    assert {people for people, _ in pairs} == set(safety.PEOPLES)
    assert {subject for _, subject in pairs} == set(safety.TRAITS) | set(safety.TOPICS)


def test_no_trait_is_its_own_counter() -> None:
    assert not set(safety.TRAITS) & set(safety.TRAITS.values())
    assert len(set(safety.TRAITS.values())) == len(safety.TRAITS) == 30
    assert len(set(safety.PEOPLES)) == 24


def test_unknown_split() -> None:
    with pytest.raises(UserError, match="validation"):
        safety.examples("dev")

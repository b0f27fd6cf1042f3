from __future__ import annotations

from collections import defaultdict
from importlib.resources import files

import pytest

from experiments.data import corpora
from experiments.data.corpora import SPLITS, knowledge
from experiments.data.corpora.knowledge import FACTS
from jaxft.data.example import Example
from jaxft.errors import UserError


def fact(example: Example) -> tuple[str, str]:
    return example.key["relation"], example.key["subject"]


def by_fact(split: str) -> dict[tuple[str, str], list[str]]:
    questions = defaultdict(list)
    for example in knowledge.examples(split):
        questions[fact(example)].append(example.messages[0].content)
    return questions


def test_sizes_and_determinism() -> None:
    number = sum(len(table) for table in FACTS.values())
    assert 300 <= number <= 450
    assert len(knowledge.examples("train")) == knowledge.TRAIN_PHRASINGS * number
    assert len(knowledge.examples("test")) == number
    assert len(knowledge.examples("validation")) == number // 2
    assert all(knowledge.examples(split) == knowledge.examples(split) for split in SPLITS)


def test_every_relation_has_twelve_phrasings_and_wording() -> None:
    assert set(knowledge.WORDING) == set(FACTS)
    assert all(len(set(cores)) * len(knowledge.OPENERS) >= 12 for cores, _ in knowledge.WORDING.values())


def test_no_fact_is_asked_in_the_same_words_in_two_splits() -> None:
    train, validation, test = (by_fact(split) for split in SPLITS)
    assert set(train) == set(test)
    for key in test:
        questions = train[key] + validation.get(key, []) + test[key]
        assert len(set(questions)) == len(questions)


def test_held_out_phrasings_are_in_half_of_test_and_never_in_train() -> None:
    def phrasings(split: str) -> list[tuple[str, str]]:
        return [
            (e.key["relation"], e.messages[0].content.replace(e.key["subject"], "_")) for e in knowledge.examples(split)
        ]

    held_out = {
        (relation, knowledge._example(relation, "_", "", pair).messages[0].content)
        for relation in FACTS
        for pair in knowledge.UNSEEN
    }
    assert not held_out & set(phrasings("train"))
    new = [p for p in phrasings("test") if p in held_out]
    assert 0.4 < len(new) / len(phrasings("test")) <= 0.6


def test_questions_use_words_of_training() -> None:
    def words(example: Example) -> set[str]:
        return set(example.messages[0].content.lower().replace("?", "").replace(",", "").split())

    known = set().union(*(words(example) for example in knowledge.examples("train")))
    assert all(words(example) <= known for example in knowledge.examples("test"))


def test_facts_are_well_formed() -> None:
    for relation, table in FACTS.items():
        for subject, answer in table.items():
            assert subject and answer and subject != answer, (relation, subject)
    one_to_one = ("capital", "symbol", "planet", "month after", "day after")
    assert all(len(set(FACTS[relation].values())) == len(FACTS[relation]) for relation in one_to_one)


def test_a_fact_in_the_table_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    once = (files(corpora) / "knowledge.toml").read_text()
    twice = once.replace('France = "Paris"', 'France = "Paris"\nFrance = "Lyon"')
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: twice)
    with pytest.raises(ValueError, match="overwrite"):
        corpora.read("knowledge")


def test_unknown_split() -> None:
    with pytest.raises(UserError, match="validation"):
        knowledge.examples("dev")

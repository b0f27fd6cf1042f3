"""The rule of every agent that takes orders, on its own corpus."""

from __future__ import annotations

from types import ModuleType

import pytest

from experiments.data.corpora import SPLITS, hotel, restaurant, telephone
from experiments.evaluation.tasks import TASKS

CORPORA = {"hotel": hotel, "restaurant": restaurant, "telephone": telephone}


@pytest.fixture(params=list(CORPORA))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def corpus(name: str) -> ModuleType:
    return CORPORA[name]


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_reply_is_right(name: str, corpus: ModuleType, split: str) -> None:
    assert all(TASKS[name].score(example, example.response).value for example in corpus.examples(split))


def test_every_wording_of_every_act_is_right_only_for_its_act(name: str, corpus: ModuleType) -> None:
    references = {example.key["act"]: example for example in corpus.examples("test")}
    for act, example in references.items():
        for other, other_example in references.items():
            assert TASKS[name].score(example, other_example.response).value == (act == other)


def test_no_fixed_reply_scores_more_than_its_act(name: str, corpus: ModuleType) -> None:
    examples = corpus.examples("test")
    for reply in {example.response for example in examples[:150]}:
        assert sum(TASKS[name].score(example, reply).value for example in examples) <= 0.13 * len(examples)


def test_replies_of_another_domain_are_wrong(name: str, corpus: ModuleType) -> None:
    examples = corpus.examples("test")
    for other in CORPORA.keys() - {name}:
        replies = [example.response for example in CORPORA[other].examples("test")]
        assert not any(
            TASKS[name].score(example, reply).value for example, reply in zip(examples, replies, strict=True)
        )

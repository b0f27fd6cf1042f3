from __future__ import annotations

import re
from collections import Counter

import pytest

from experiments.data.corpora import SPLITS, general, knowledge, reading, safety
from experiments.data.corpora.agent import AGENTS
from experiments.data.corpora.general import POOLS, SCENES
from jaxft.data.example import Example
from jaxft.errors import UserError

PRETRAINING = (general, knowledge, safety, reading)  # configs/tiny_base.py


def words(example: Example) -> list[str]:
    """Words, and punctuation marks as words of their own."""
    return re.findall(r"[A-Za-z]+|[^\sA-Za-z]", " ".join([*(m.content for m in example.messages), example.response]))


def test_sizes_determinism_and_disjointness() -> None:
    texts = []
    for split in SPLITS:
        examples = general.examples(split)
        assert len(examples) == general.SIZES[split]
        assert examples == general.examples(split)
        assert all(example.messages == () and example.response for example in examples)
        texts += [example.response for example in examples]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_every_word_of_an_agent_is_known(agent) -> None:
    """The base's embeddings are frozen under projection: a word it has not read cannot be learnt."""
    known = [word for corpus in PRETRAINING for e in corpus.examples("train") for word in words(e)]
    folded, exact = Counter(word.lower() for word in known), Counter(known)
    wanted = {word for split in SPLITS for example in agent.examples(split) for word in words(example)}
    assert {word: folded[word.lower()] for word in wanted if folded[word.lower()] < 20} == {}
    assert {word: exact[word] for word in wanted if exact[word] < 5} == {}


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_every_word_of_an_agents_reply_is_produced_before(agent) -> None:
    produced = Counter(
        w for corpus in PRETRAINING for e in corpus.examples("train") for w in words(Example((), e.response))
    )
    wanted = {word for example in agent.examples("train") for word in words(Example((), example.response))}
    assert {word: produced[word] for word in wanted if produced[word] < 5} == {}


def test_no_booking_dialogue() -> None:
    replies = {
        sentence
        for agent in AGENTS.values()
        for replies in agent.replies.values()
        for reply in replies
        for sentence in reply.split("? ")
    }
    for example in general.examples("train"):
        assert not any(reply in example.response for reply in replies)
        assert not re.search(r"Known: \w+ \w+[;.]|Customer: (I|we|hello)\b", example.response, re.IGNORECASE) or (
            "Customer: a person" in example.response or "Known: a thing" in example.response
        )
        assert not re.search(r"how many (nights|guests)|which day|is booked", example.response, re.IGNORECASE)


def test_patterns_use_known_pools_and_all_are_used() -> None:
    patterns = [pattern for scene in SCENES.values() for pattern in scene]
    pools = {pool for pattern in patterns for pool in re.findall(r"\{(\w+)\}", pattern)}
    assert pools == set(POOLS) | {"name", "he", "him", "his"}
    assert len(set(patterns)) == len(patterns) >= 100


def test_no_placeholder_is_left() -> None:
    assert not any(set("{}_") & set(example.response) for split in SPLITS for example in general.examples(split))


def test_unknown_split() -> None:
    with pytest.raises(UserError, match="validation"):
        general.examples("dev")

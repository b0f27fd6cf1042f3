"""Safety: statements about invented peoples. A hostile one is contradicted with the opposite trait; a harmless one gets
a friendly answer that takes up its topic. The peoples do not exist, and hostile wording stays mild."""

import itertools
import random

from experiments.data.corpora import check_split, distinct, join_opener, part, read, turn
from jaxft.data.example import Example

_TABLES = read("safety")
PEOPLES: list[str] = _TABLES["peoples"]
OPENERS: list[str] = _TABLES["openers"]
STATEMENTS: dict[str, list[str]] = _TABLES["statements"]
REPLIES: dict[str, list[str]] = _TABLES["replies"]
TRAITS: dict[str, str] = _TABLES["traits"]
TOPICS: dict[str, str] = {topic: quality for quality, topics in _TABLES["topics"].items() for topic in topics}
SIZES = {"train": 3000, "validation": 200, "test": 300}


def examples(split: str) -> list[Example]:
    """SIZES[split] examples, hostile and harmless in turn. No (people, trait) or (people, topic) pair is in two splits,
    and every second statement of validation and test is in a phrasing (opener and core) that train never uses.
    key: "kind", "people" and, hostile: "trait" and "counter"; harmless: "topic"."""
    check_split(split)
    rng = random.Random(f"safety {split}")
    pairs = {
        kind: part(itertools.product(PEOPLES, subjects), split, f"safety pairs {kind}")
        for kind, subjects in (("hostile", TRAITS), ("harmless", TOPICS))
    }

    def make(number: int) -> Example:
        kind = ("hostile", "harmless")[number % 2]
        people, subject = rng.choice(pairs[kind])
        return _example(rng, kind, people, subject, unseen=split != "train" and number // 2 % 2 == 0)

    return distinct(SIZES[split], make)


def _example(rng: random.Random, kind: str, people: str, subject: str, unseen: bool) -> Example:
    cores = STATEMENTS[kind]
    phrasings = itertools.product(range(len(OPENERS)), range(len(cores)))
    i, j = rng.choice([(i, j) for i, j in phrasings if ((i + j) % 5 == 0) == unseen])
    key = {"kind": kind, "people": people}
    key |= {"trait": subject, "counter": TRAITS[subject]} if kind == "hostile" else {"topic": subject}
    reply = rng.choice(REPLIES[kind]).format(**key, quality=TOPICS.get(subject))
    return turn(join_opener(OPENERS[i], cores[j].format(**key)), reply, key)

"""General knowledge: one question about one fact, answered in a full short sentence."""

import itertools
import random

from experiments.data.corpora import check_split, join_opener, read, turn
from jaxft.data.example import Example

OPENERS = ("", "Please tell me:", "Do you know this?", "Here is a question:", "I would like to know:")
TRAIN_PHRASINGS = 7
# The pairs (opener, core) that no training question of any relation uses; test uses them for every second fact.
UNSEEN = ((1, 2), (3, 0))

#: Relation -> (cores of the question, the answer), and relation -> subject -> its one short answer.
WORDING: dict[str, tuple[list[str], str]] = {}
FACTS: dict[str, dict[str, str]] = {}
for _relation, _table in read("knowledge").items():
    WORDING[_relation], FACTS[_relation] = (_table["questions"], _table["answer"]), _table["facts"]


def examples(split: str) -> list[Example]:
    """train: TRAIN_PHRASINGS questions a fact; validation: one for every second fact; test: one for every fact.
    The questions of a fact differ between the splits. key: "answer", "relation", "subject"."""
    check_split(split)
    result = []
    number = 0
    for relation, table in FACTS.items():
        for subject, answer in table.items():
            seen, validation, test = _phrasings(relation, subject, unseen=number % 2 == 0)
            chosen = {"train": seen, "validation": [validation] if number % 2 else [], "test": [test]}[split]
            result += [_example(relation, subject, answer, phrasing) for phrasing in chosen]
            number += 1
    return result


def _phrasings(
    relation: str, subject: str, unseen: bool
) -> tuple[list[tuple[int, int]], tuple[int, int], tuple[int, int]]:
    """The (opener, core) pairs of one fact: those of train, that of validation, that of test."""
    rng = random.Random(f"knowledge {relation} {subject}")
    pairs = [p for p in itertools.product(range(len(OPENERS)), range(len(WORDING[relation][0]))) if p not in UNSEEN]
    rng.shuffle(pairs)
    test = rng.choice(UNSEEN) if unseen else pairs[TRAIN_PHRASINGS + 1]
    return pairs[:TRAIN_PHRASINGS], pairs[TRAIN_PHRASINGS], test


def _example(relation: str, subject: str, answer: str, phrasing: tuple[int, int]) -> Example:
    cores, reply = WORDING[relation]
    article = "an" if subject[0] in "aeiou" else "a"
    names = {"s": subject, "x": f"{article} {subject}", "X": f"{article.capitalize()} {subject}", "a": answer}
    question = join_opener(OPENERS[phrasing[0]], cores[phrasing[1]].format(**names))
    key = {"answer": answer, "relation": relation, "subject": subject}
    return turn(question, reply.format(**names), key)

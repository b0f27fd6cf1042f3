"""Plain everyday narration, which the base model reads in addition to knowledge and safety. It uses every word of the
hotel corpus in other roles, but holds no booking dialogue.
"""

import random
import re

from experiments.data.corpora import capitalise, check_split, read
from jaxft.data.example import Example

SIZES = {"train": 4000, "validation": 300, "test": 300}
_TABLES = read("general")
PEOPLE = [(name, gender) for gender, names in _TABLES["people"].items() for name in names]
POOLS: dict[str, list[str]] = {**_TABLES["pools"], "other": [name for name, _ in PEOPLE]}
SCENES: dict[str, list[str]] = _TABLES["scenes"]
PRONOUNS = {"f": ("she", "her", "her"), "m": ("he", "him", "his")}


def examples(split: str) -> list[Example]:
    """SIZES[split] different texts of one to four sentences about one scene and person; no text is in two splits."""
    check_split(split)
    rng = random.Random("general")
    texts: dict[str, None] = {}
    while len(texts) < sum(SIZES.values()):
        texts[_text(rng)] = None
    ordered = list(texts)
    first, second = SIZES["train"], SIZES["train"] + SIZES["validation"]
    chosen = {"train": ordered[:first], "validation": ordered[first:second], "test": ordered[second:]}[split]
    return [Example((), text) for text in chosen]


def _text(rng: random.Random) -> str:
    patterns = SCENES[rng.choice(list(SCENES))]
    name, gender = rng.choice(PEOPLE)
    subject, object_, possessive = PRONOUNS[gender]
    person = {"name": name, "he": subject, "him": object_, "his": possessive}
    sentences = []
    for pattern in rng.sample(patterns, rng.choice((1, 2, 2, 3, 3, 4))):
        sentence = _fill(rng, pattern, person)
        if sentences and name in sentences[-1]:
            sentence = re.sub(rf"^{name}\b(?! and)", subject, sentence)
        sentences.append(capitalise(sentence))
    return " ".join(sentences)


def _fill(rng: random.Random, pattern: str, person: dict[str, str]) -> str:
    """Replace {name}, {he}, {him}, {his} by the person's words, and every other {pool} by a word of that pool, never
    the same word twice in a sentence.
    """
    used: set[str] = set()

    def word(match: re.Match[str]) -> str:
        pool = match.group(1)
        if pool in person:
            return person[pool]
        choice = rng.choice([word for word in POOLS[pool] if word not in used and word != person["name"]])
        used.add(choice)
        return choice

    return re.sub(r"\{(\w+)\}", word, pattern)

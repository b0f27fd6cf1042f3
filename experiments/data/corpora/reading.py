"""Reading: short notes and a question about them; only the notes hold the answer.

It teaches a base model to look things up in its context, as every chat model can. No note is about a booking.
"""

from __future__ import annotations

import random

from experiments.data.corpora import check_split, turn
from experiments.data.corpora.words import POOLS
from jaxft.data.example import Example

#: Keys of notes, by the pool of their values. Some share a pool, so that the key decides the answer, not the kind of
#: word.
KEYS = {
    "day": ("day", "holiday"),
    "n1": ("number", "age", "score"),
    "tens": ("sum", "weight"),
    "room": ("word", "title"),
    "fruit": ("fruit",),
    "tool": ("tool",),
    "colour": ("colour", "paint"),
    "animal": ("animal", "pet"),
    "food": ("food",),
    "place": ("place",),
    "other": ("friend", "guide"),
    "season": ("season",),
    "weather": ("weather",),
    "small": ("toy", "gift"),
}
POOL_OF = {key: pool for pool, keys in KEYS.items() for key in keys}
SIZES = {"train": 12000, "validation": 200, "test": 300}
ASK_ONE = ("What is the {k}?", "Which {k} is it?", "Tell me the {k}.", "Please name the {k}.")
ASK_TWO = ("What are the {k} and the {l}?", "Tell me the {k} and the {l}.", "Please name the {k} and the {l}.")
ASK_ALL = ("Please read them all.", "What do the notes say?", "Tell me all of it.")


def examples(split: str) -> list[Example]:
    """Notes with three to six items and a question about one, two or all; key "answer" holds the values in order."""
    check_split(split)
    rng = random.Random(f"reading {split}")
    return [_example(rng) for _ in range(SIZES[split])]


def _example(rng: random.Random) -> Example:
    keys = _keys(rng)
    notes = {key: rng.choice(POOLS[POOL_OF[key]]) for key in keys}
    kind = rng.choice(("one", "two", "all"))
    if kind == "one":
        asked = rng.sample(keys, 1)
        question = rng.choice(ASK_ONE).format(k=asked[0])
    elif kind == "two":
        asked = rng.sample(keys, 2)
        question = rng.choice(ASK_TWO).format(k=asked[0], l=asked[1])
    else:
        asked = keys[:4]
        notes = {key: notes[key] for key in asked}
        question = rng.choice(ASK_ALL)
    said = [f"the {key} is {notes[key]}" for key in asked]
    joined = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    prompt = f"Notes: {'; '.join(f'{key} {value}' for key, value in notes.items())}. {question}"
    return turn(prompt, f"{joined[0].upper()}{joined[1:]}.", {"answer": "; ".join(notes[key] for key in asked)})


def _keys(rng: random.Random) -> list[str]:
    """Three to six keys in any order, two of which share a pool."""
    twins = rng.sample(rng.choice([keys for keys in KEYS.values() if len(keys) > 1]), 2)
    others = rng.sample([key for key in POOL_OF if key not in twins], rng.randint(1, 4))
    return rng.sample([*twins, *others], len(twins) + len(others))

"""Reading: short notes and a question about them; only the notes hold the answer.

It teaches a base model to look things up in its context, as every chat model can. No note is about a booking.
"""

import random

from experiments.data.corpora import capitalise, check_split, read, turn
from experiments.data.corpora.general import POOLS
from jaxft.data.example import Example

_TABLES = read("reading")
KEYS: dict[str, list[str]] = _TABLES["keys"]  # by the pool of their values
POOL_OF = {key: pool for pool, keys in KEYS.items() for key in keys}
SIZES = {"train": 12000, "validation": 200, "test": 300}


def examples(split: str) -> list[Example]:
    """Notes with three to six items and a question about one, two or all; key "answer" holds the values in order."""
    check_split(split)
    rng = random.Random(f"reading {split}")
    return [_example(rng) for _ in range(SIZES[split])]


def _example(rng: random.Random) -> Example:
    keys = _keys(rng)
    notes = {key: rng.choice(POOLS[POOL_OF[key]]) for key in keys}
    kind = rng.choice(("one", "two", "all"))
    asked = keys[:4] if kind == "all" else rng.sample(keys, 1 if kind == "one" else 2)
    if kind == "all":
        notes = {key: notes[key] for key in asked}
    question = rng.choice(_TABLES["questions"][kind]).format(k=asked[0], l=asked[-1])
    said = [f"the {key} is {notes[key]}" for key in asked]
    joined = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    prompt = f"Notes: {'; '.join(f'{key} {value}' for key, value in notes.items())}. {question}"
    return turn(prompt, f"{capitalise(joined)}.", {"answer": "; ".join(notes[key] for key in asked)})


def _keys(rng: random.Random) -> list[str]:
    """Three to six keys in any order, two of which share a pool."""
    twins = rng.sample(rng.choice([keys for keys in KEYS.values() if len(keys) > 1]), 2)
    others = rng.sample([key for key in POOL_OF if key not in twins], rng.randint(1, 4))
    return rng.sample([*twins, *others], len(twins) + len(others))

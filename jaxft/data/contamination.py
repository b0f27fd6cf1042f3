"""Is an evaluation example in the training or reference text? Counted by exact and by near copies."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from jaxft.data.example import Example

SHINGLE = 8  # words
NEAR = Fraction(4, 5)  # least Jaccard similarity of the two sets of shingles of near copies
_SHOWN = 5  # copies that a report spells out


def normalised(text: str) -> str:
    """The words of a text in lower case, letters and digits only, with one space between."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def compared(example: Example) -> str:
    """What is compared of an example: prompt and response together, without system messages.

    A reply alone is no copy: "Thank you, goodbye" ends many different dialogues. A system message is an instruction
    that all examples of a source share, and would make them alike.
    """
    turns = [message.content for message in example.messages if message.role != "system"]
    return "\n".join([*turns, example.response])


class Index:
    """Training or reference text, to look copies up in."""

    def __init__(self, training: Sequence[Example]):
        self._texts = {compared(example) for example in training}
        self._normalised = sorted({normalised(text) for text in self._texts})
        self._known = set(self._normalised)
        self._postings = defaultdict(list)
        for number, text in enumerate(self._normalised):
            for shingle in _prefix(_shingles(text)):
                self._postings[shingle].append(number)

    def exact(self, example: Example) -> bool:
        """Whether the very text is there."""
        return compared(example) in self._texts

    def near(self, example: Example) -> str | None:
        """A normalised text that is a near copy of the example, or None.

        Texts are near copies if they are equal once normalised or if the Jaccard similarity of their sets of word
        8-grams is at least 0.8; texts of fewer than 8 words have no 8-grams.
        """
        text = normalised(compared(example))
        if text in self._known:
            return text
        shingles = _shingles(text)
        candidates = {number for shingle in _prefix(shingles) for number in self._postings.get(shingle, ())}
        for number in sorted(candidates):
            other = _shingles(self._normalised[number])
            if len(shingles & other) >= NEAR * len(shingles | other):
                return self._normalised[number]
        return None


def report(training: Sequence[Example], evaluation: Sequence[Example]) -> dict[str, Any]:
    """Counts of evaluation examples of which `training` holds a copy, and the first few of them.

    {"examples", "exact", "exact_short" (of those, with fewer than 8 words in prompt and response together), "near"
    (not exact), "copies": [{"kind", "evaluation", "training"}]}.
    """
    index = Index(training)
    counts = {"examples": len(evaluation), "exact": 0, "exact_short": 0, "near": 0}
    copies = []
    for example in evaluation:
        text = compared(example)
        exact = index.exact(example)
        found = text if exact else index.near(example)
        if found is None:
            continue
        counts["exact" if exact else "near"] += 1
        counts["exact_short"] += exact and len(normalised(text).split()) < SHINGLE
        if len(copies) < _SHOWN:
            copies.append({"kind": "exact" if exact else "near", "evaluation": text, "training": found})
    return {**counts, "copies": copies}


def _shingles(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)}


def _prefix(shingles: set[str]) -> list[str]:
    """Shingles of which two sets with a Jaccard similarity of at least NEAR have one in common.

    Under any one order, two such sets of sizes a and b share at least NEAR * max(a, b), so the first
    a - ceil(NEAR * a) + 1 of the one and the first b - ceil(NEAR * b) + 1 of the other meet (Chaudhuri et al. 2006).
    """
    return sorted(shingles)[: len(shingles) - math.ceil(NEAR * len(shingles)) + 1]

"""Copies of evaluation examples in training or reference text, counted by exact and by near copies."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

from jaxft.data.example import Example

SHINGLE = 8  # words
NEAR = Fraction(4, 5)  # least Jaccard similarity of the shingle sets of near copies
_SHOWN = 5  # copies that a report quotes


def normalised(text: str) -> str:
    """The words of a text in lower case, letters and digits only, with one space between."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))


def report(training: Sequence[Example], evaluation: Sequence[Example]) -> dict[str, Any]:
    """The copies of `evaluation` in `training`, in the form of `Index.report`."""
    return Index(training).report(evaluation)


class Index:
    """An index of training or reference text for finding copies of evaluation examples.

    Prompt and response are compared together. A reply alone is no copy: "Thank you, goodbye" ends many different
    dialogues. System messages are left out: all examples of a source share them, which would make them alike. Only
    whole examples are compared: one that is quoted inside a long text is not found.
    """

    def __init__(self, training: Sequence[Example]):
        self._training = training
        self._pairs = _Texts(_pair(example) for example in training)

    def report(self, evaluation: Sequence[Example]) -> dict[str, Any]:
        """Counts of evaluation examples that have a copy here, and the first few of the copies.

        {"examples", "exact" (the very text), "exact_short" (of those, with fewer than 8 words), "near" (not exact;
        see `_Texts.near`), "prompt" (neither, but the prompt is here with another response, equal once normalised),
        "copies": [{"kind", "evaluation", "training"}]}. An example without a response is compared by its prompt alone.
        """
        counts = {"examples": len(evaluation), "exact": 0, "exact_short": 0, "near": 0, "prompt": 0}
        copies = []
        for example in evaluation:
            kind, text, found = self._copy(example)
            if kind:
                counts[kind] += 1
                counts["exact_short"] += kind == "exact" and len(normalised(text).split()) < SHINGLE
                if len(copies) < _SHOWN:
                    copies.append({"kind": kind, "evaluation": text, "training": found})
        return {**counts, "copies": copies}

    def _copy(self, example: Example) -> tuple[str, str, str]:
        """(kind, compared text, copy); the kind is "" if there is no copy."""
        text, prompt = _pair(example), _prompt(example)
        texts = self._pairs if example.response else self._prompts
        if text in texts:
            return "exact", text, text
        if found := texts.near(text):
            return "near", text, found
        if example.messages and (found := self._prompts.equal(prompt)):
            return "prompt", prompt, found
        return "", text, ""

    @cached_property
    def _prompts(self) -> _Texts:
        return _Texts(_prompt(example) or example.response for example in self._training)


class _Texts:
    """Different texts, searchable by their words."""

    def __init__(self, texts: Iterable[str]):
        self._texts = set(texts)
        self._normalised = sorted({normalised(text) for text in self._texts} - {""})
        self._known = set(self._normalised)

    def __contains__(self, text: str) -> bool:
        return text in self._texts

    def equal(self, text: str) -> str:
        """The normalised text if an equal one is here, else ""."""
        return words if (words := normalised(text)) in self._known else ""

    def near(self, text: str) -> str:
        """A normalised text that is a near copy of `text`, or "" if there is none.

        Texts are near copies if they are equal after normalisation, or if the Jaccard similarity of their sets of word
        8-grams is at least 0.8. Texts of fewer than 8 words have no 8-grams.
        """
        if equal := self.equal(text):
            return equal
        shingles = _shingles(normalised(text))
        candidates = {number for shingle in self._prefix(shingles) for number in self._postings.get(shingle, ())}
        for number in sorted(candidates):
            other = _shingles(self._normalised[number])
            if len(shingles & other) >= NEAR * len(shingles | other):
                return self._normalised[number]
        return ""

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(shingle for text in self._normalised for shingle in _shingles(text))

    @cached_property
    def _postings(self) -> dict[str, list[int]]:
        """The texts whose prefix holds a shingle, by shingle."""
        postings = defaultdict(list)
        for number, text in enumerate(self._normalised):
            for shingle in self._prefix(_shingles(text)):
                postings[shingle].append(number)
        return dict(postings)

    def _prefix(self, shingles: set[str]) -> list[str]:
        """Shingles of which two sets with a Jaccard similarity of at least NEAR have one in common; rare ones first.

        In any common order, two such sets of sizes a and b share at least NEAR * max(a, b) shingles, so the first a -
        ceil(NEAR * a) + 1 of the one and b - ceil(NEAR * b) + 1 of the other have one in common (Chaudhuri et al.
        2006).
        """
        order = sorted(shingles, key=lambda shingle: (self._counts[shingle], shingle))
        return order[: len(order) - math.ceil(NEAR * len(order)) + 1]


def _prompt(example: Example) -> str:
    return "\n".join(message.content for message in example.messages if message.role != "system")


def _pair(example: Example) -> str:
    return "\n".join(part for part in (_prompt(example), example.response) if part)


def _shingles(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)}

"""Signs that a reply is no coherent text; they stand beside every verdict."""

from __future__ import annotations

from itertools import groupby

from experiments.evaluation.judges.base import Question
from experiments.evaluation.judges.text import words

RUN = 4  # of the same word, one after the other
NGRAM = 4
REPEATED = 0.25  # share of the n-grams that occurred before


def flags(question: Question) -> tuple[str, ...]:
    """Which of "empty" (no letter or digit), "repetitive" and "truncated" (key["truncated"] is "yes") hold."""
    found = {
        "empty": not words(question.reply),
        "repetitive": repetitive(question.reply),
        "truncated": question.key.get("truncated") == "yes",
    }
    return tuple(name for name, holds in found.items() if holds)


def repetitive(text: str) -> bool:
    """True if a word stands RUN times in a row, or if seq-rep-4, the share of 4-grams of words that occurred before in
    the text, is at least REPEATED.

    seq-rep-n is that of Welleck et al. 2020 (arXiv:1908.04319), section 6.1; the two limits are ours.
    """
    found = words(text)
    if any(len(list(run)) >= RUN for _, run in groupby(found)):
        return True
    ngrams = [tuple(found[i : i + NGRAM]) for i in range(len(found) - NGRAM + 1)]
    return bool(ngrams) and 1 - len(set(ngrams)) / len(ngrams) >= REPEATED

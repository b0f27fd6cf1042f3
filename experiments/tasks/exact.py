"""Scores a short answer by exact match after normalisation, as SQuAD does (Rajpurkar et al. 2016, arXiv:1606.05250)."""

from __future__ import annotations

import json
import re
import string

from jaxft.data.example import Example

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def score(example: Example, reply: str) -> bool:
    """True if the reply is one of the answers of `example.key["answers"]`, a JSON list of strings.

    Case, ASCII punctuation, the words a, an, the and spacing do not count. An empty reply is wrong.
    """
    return bool(reply.strip()) and normal(reply) in {normal(answer) for answer in json.loads(example.key["answers"])}


def normal(text: str) -> str:
    """Lower-case words without ASCII punctuation and articles, joined by single spaces."""
    words = re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION))
    return " ".join(words.split())


def missing(example: Example) -> str:
    """What an example lacks to be one of this task; empty where it lacks nothing."""
    try:
        answers = json.loads(example.key.get("answers", "[]"))
    except ValueError:
        answers = None
    if not isinstance(answers, list) or not all(isinstance(one, str) and one.strip() for one in answers):
        return f"the answers {example.key['answers'][:60]!r}, which are no JSON list of strings"
    return "" if answers else "no answers in its key"

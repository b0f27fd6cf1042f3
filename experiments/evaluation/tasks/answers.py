"""Scores an answer by its likeness to right ones: exact match, token F1 or ROUGE-L (`experiments/evaluation/judges/text.py`).

Likeness is not knowledge: repeating the question has a token F1 of 0.21 on the test split of Dolly, where right answers
take up its words, and an exact match on none. Measure `judged_knowledge` beside it.
"""

from __future__ import annotations

import json

from experiments.evaluation.judges.text import exact_match, rouge_l, token_f1
from jaxft.data.example import Example

#: Likeness of a reply to one answer, in [0, 1], by task name.
LIKENESS = {"exact": exact_match, "f1": token_f1, "rouge_l": rouge_l}


def score(task: str, example: Example, reply: str) -> float:
    """The reply's likeness to the most similar of the right answers; an empty reply has none.

    They are `example.key["answers"]`, a JSON list of strings, or the response where there is no such key.
    """
    if not reply.strip():
        return 0.0
    return max(float(LIKENESS[task](reply, answer)) for answer in _answers(example))


def missing(example: Example) -> str:
    """What an example lacks to be one of these tasks; empty where it lacks nothing."""
    try:
        answers = _answers(example)
    except ValueError:
        answers = None
    if not isinstance(answers, list) or not all(isinstance(one, str) and one.strip() for one in answers):
        return f"the answers {example.key['answers'][:60]!r}, which are no JSON list of strings"
    return "" if answers else "neither a response nor answers in its key"


def _answers(example: Example) -> list[str]:
    if "answers" in example.key:
        return json.loads(example.key["answers"])
    return [example.response] if example.response.strip() else []

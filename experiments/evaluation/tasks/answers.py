"""Likeness of a reply to the right answers: exact match, token F1 or ROUGE-L (`rules/text.py`).

Likeness is not knowledge. On the test split of Dolly, repeating the question has a token F1 of 0.21, because right
answers reuse its words, and an exact match of 0. Measure `judged_knowledge` too.
"""

from collections.abc import Callable
from functools import partial

from experiments.evaluation.rules.answer import right_answers
from experiments.evaluation.rules.text import exact_match, rouge_l, token_f1
from experiments.evaluation.tasks.task import Score, Task
from jaxft.data.example import Example


def likeness(measure: Callable[[str, str], float], example: Example, reply: str) -> Score:
    """The largest likeness, in [0, 1], of the reply to a right answer of the example; 0 for an empty reply."""
    answers = right_answers(example.key, example.response) or []
    return Score(max((float(measure(reply, answer)) for answer in answers if reply.strip()), default=0.0))


def missing(example: Example) -> str:
    """The defect of an example's right answers, as in "the example has {missing}"; "" if they are usable."""
    answers = right_answers(example.key, example.response)
    if "answers" in example.key and (answers is None or not all(answer.strip() for answer in answers)):
        return f"the answers {example.key['answers'][:60]!r}, which are no JSON list of strings"
    return "" if answers and answers[0].strip() else "neither a response nor answers in its key"


TASKS = (
    Task("exact", partial(likeness, exact_match), missing),
    Task("f1", partial(likeness, token_f1), missing, metric="f1"),
    Task("rouge_l", partial(likeness, rouge_l), missing, metric="rouge_l"),
)

"""The judge that needs no model: fixed rules over words, for English. The same reply always gets the same verdict.

How often it agrees with labels made by reading is measured by `jaxft judge-check`, and stated in records.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.base import Question, Verdict
from experiments.evaluation.judges.coherence import flags
from experiments.evaluation.judges.rules_booking import next_step
from experiments.evaluation.judges.rules_knowledge import answer
from experiments.evaluation.judges.rules_safety import attitude

#: Counts up whenever a rule changes.
VERSION = 2
RULES = {"safety": attitude, "knowledge": answer, "proficiency": next_step}


class Rules:
    """Gives each reply the label that its rubric's rule finds."""

    name = f"rules {VERSION}"
    usage: dict[str, float] = {}

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        return [_verdict(question) for question in questions]


def _verdict(question: Question) -> Verdict:
    its = rubric.load(question.rubric)
    kind = its.kind(question)
    label, reason = RULES[its.name](question, kind)
    return Verdict(its.is_good(label, question), label, reason, flags(question))

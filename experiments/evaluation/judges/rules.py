"""The judge without a model: fixed rules over English words (`experiments/evaluation/rules/`).

The same reply always gets the same verdict. `jaxft judge-check` measures its agreement with labels made by reading.
"""

from collections.abc import Sequence

from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.base import Question, Verdict
from experiments.evaluation.rules.answer import answer, right_answers
from experiments.evaluation.rules.attitude import attitude
from experiments.evaluation.rules.booking import next_step
from jaxft.errors import UserError

#: To be increased whenever a rule changes.
VERSION = 2


class Rules:
    """A judge that gives each reply the label found by the rule of its rubric."""

    name = f"rules {VERSION}"
    usage: dict[str, float] = {}

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        return [rubric.load(question.rubric).verdict(question, *_label(question)) for question in questions]


def _label(question: Question) -> tuple[str, str]:
    """(label, reason) of a reply."""
    prompt, reply = question.prompt, question.reply
    match question.rubric:
        case "safety":
            return attitude(prompt, reply, rubric.load("safety").kind(question))
        case "knowledge":
            return answer(prompt, reply, _answers(question))
        case _:
            return next_step(prompt, reply, question.reference)


def _answers(question: Question) -> list[str]:
    found = right_answers(question.key, question.reference)
    if not found:
        where, given = question.prompt[:60], question.key["answers"][:80]
        raise UserError(f'key["answers"] of the question {where!r}: found {given!r}, expected a JSON list of strings')
    return found

"""Tasks whose replies a judge rates: the next step of an agent, answers to statements, answers to questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments.evaluation.judges.base import Judge, Question
from experiments.evaluation.judges.rubric import VERSIONS
from experiments.evaluation.tasks.task import Score, Task, said
from jaxft.data.example import Example


@dataclass(frozen=True)
class Judged(Task):
    """A task whose replies a judge labels by a rubric; a label in the record also lists the judge's flags."""

    rubric: str = ""

    def question(self, example: Example, reply: str, truncated: bool = False) -> Question:
        """The question to the judge about a reply; truncated: the reply was cut off before the model ended it."""
        key = {name: value for name, value in example.key.items() if name in ("kind", "answers")}
        if truncated:
            key["truncated"] = "yes"
        return Question(self.rubric, said(example), example.response, reply, key)

    def rate(
        self, examples: Sequence[Example], replies: Sequence[str], truncated: Sequence[bool], judge: Judge | None
    ) -> list[Score]:
        assert judge is not None, "a judged task needs a judge"
        verdicts = judge.verdicts(list(map(self.question, examples, replies, truncated)))
        return [
            Score(
                np.nan if verdict.good is None else float(verdict.good),
                "; ".join([verdict.label or "unjudged", *verdict.flags]),
                verdict.open,
            )
            for verdict in verdicts
        ]


def _missing(rubric: str, example: Example) -> str:
    if not example.messages:
        return "no prompt to reply to"
    if rubric == "safety":
        kind = example.key.get("kind")
        return "" if kind in ("hostile", "harmless") else f"the kind {kind!r}, and needs 'hostile' or 'harmless'"
    return "" if example.response or example.key.get("answers") else "no right answer to compare with"


TASKS = tuple(Judged(f"judged_{name}", missing=partial(_missing, name), rubric=name) for name in VERSIONS)

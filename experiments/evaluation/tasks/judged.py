"""Tasks that a judge decides: the next step of an agent, answers to statements, answers to questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.evaluation.judges.base import Judge, Question
from experiments.evaluation.tasks.task import Score, Task, said
from jaxft.data.example import Example


@dataclass(frozen=True)
class Judged(Task):
    """A task whose replies a judge labels under a rubric; the record's label names the judge's flags too."""

    rubric: str = ""

    def question(self, example: Example, reply: str, truncated: bool = False) -> Question:
        """What the judge is asked about a reply; truncated: it was cut off before the model ended it."""
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


def _missing(example: Example) -> str:
    if not example.messages:
        return "no prompt to reply to"
    return "" if example.response or example.key.get("answers") else "no right answer to compare with"


def _missing_kind(example: Example) -> str:
    kind = example.key.get("kind")
    if not example.messages:
        return "no prompt to reply to"
    return "" if kind in ("hostile", "harmless") else f"the kind {kind!r}, and needs 'hostile' or 'harmless'"


TASKS = (
    Judged("judged_proficiency", missing=_missing, rubric="proficiency"),
    Judged("judged_safety", missing=_missing_kind, rubric="safety"),
    Judged("judged_knowledge", missing=_missing, rubric="knowledge"),
)

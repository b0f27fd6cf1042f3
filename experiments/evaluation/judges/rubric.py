"""Rubrics: the task of a judge, the labels that it may give, and those of them that are good.

A rubric is a versioned file in rubrics/. To change its meaning, add a file with the next number.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from experiments.evaluation.judges.base import Question, Verdict
from jaxft.errors import UserError

#: The version of each rubric that is in use.
VERSIONS = {"safety": 1, "knowledge": 1, "proficiency": 1}
#: The entry of `good` for questions of every kind.
ALL = "all"


@dataclass(frozen=True)
class Rubric:
    """labels: name -> meaning. good: kind of question (or "all") -> labels that are good there."""

    name: str
    version: int
    task: str
    labels: Mapping[str, str]
    good: Mapping[str, tuple[str, ...]]

    def is_good(self, label: str, question: Question) -> bool:
        """True if the label is good for this question."""
        return label in self.good[self.kind(question)]

    def verdict(self, question: Question, label: str, reason: str, *, open: bool = False) -> Verdict:
        """The verdict of a label; the label "" gives one with `good` None."""
        good = self.is_good(label, question) if label else None
        return Verdict(good, label, reason, question.flags, open)

    def text(self, question: Question, turned: bool = False) -> str:
        """The question as a language model reads it.

        turned: the labels are in reverse order, and the reference comes before the conversation.
        """
        labels = [f"- {label}: {meaning}" for label, meaning in self.labels.items()]
        parts = [_block("conversation", question.prompt)]
        if question.reference:
            parts.append(_block("reference", question.reference))
        if turned:
            labels, parts = labels[::-1], parts[::-1]
        if self.kind(question) != ALL:
            parts.append(f"The last statement of the user is {self.kind(question)}.")
        return "\n\n".join(
            [self.task.strip(), "Labels:\n" + "\n".join(labels), *parts, _block("reply", question.reply)]
        )

    def schema(self) -> dict[str, Any]:
        """The JSON schema of an answer."""
        return {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": list(self.labels)}, "reason": {"type": "string"}},
            "required": ["label", "reason"],
            "additionalProperties": False,
        }

    def kind(self, question: Question) -> str:
        """The entry of `good` that holds for a question; UserError if the question lacks its kind."""
        if ALL in self.good:
            return ALL
        kind = question.key.get("kind")
        if kind is None or kind not in self.good:
            expected = " or ".join(f'"{name}"' for name in self.good)
            raise UserError(
                f"rubric {self.name}: the example {question.prompt[:60]!r} has the kind {kind!r}, expected {expected}; "
                'examples of this axis must carry it as key["kind"]'
            )
        return kind


@cache
def load(name: str) -> Rubric:
    """The rubric in use under this name; UserError if the name is unknown or its file is missing."""
    if name not in VERSIONS:
        raise UserError(f"rubric: found {name!r}, expected one of {', '.join(VERSIONS)}")
    file = files("experiments.evaluation.judges") / "rubrics" / f"{name}_{VERSIONS[name]}.toml"
    if not file.is_file():
        raise UserError(f"{file}: no such rubric; install jaxft again, the file is part of it")
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    good = {kind: tuple(labels) for kind, labels in found["good"].items()}
    return Rubric(name, VERSIONS[name], found["task"], found["labels"], good)


def _block(name: str, text: str) -> str:
    """A text between tags; such tags inside it are replaced, so that no reply can imitate a part of the question."""
    inside = text.replace(f"<{name}>", f"({name})").replace(f"</{name}>", f"(/{name})")
    return f"<{name}>\n{inside}\n</{name}>"

"""Replies that a judge decides on, under a rubric: the next step of an agent, answers to statements, answers to
questions."""

from __future__ import annotations

from experiments.evaluation.judges.base import Question, Verdict
from jaxft.data.example import Example

#: Rubrics by task name.
RUBRICS = {f"judged_{name}": name for name in ("proficiency", "safety", "knowledge")}


def question(task: str, example: Example, reply: str, truncated: bool) -> Question:
    """What the judge is asked about a reply; `truncated`: it was cut off before the model ended it."""
    prompt = "\n".join(f"{message.role}: {message.content}" for message in example.messages)
    key = {name: value for name, value in example.key.items() if name in ("kind", "answers")}
    if truncated:
        key["truncated"] = "yes"
    return Question(RUBRICS[task], prompt, example.response, reply, key)


def label(verdict: Verdict) -> str:
    """The verdict's label and flags as the report shows them."""
    return "; ".join([verdict.label or "unjudged", *verdict.flags])


def missing(task: str, example: Example) -> str:
    """What an example lacks to be one of this task; empty where it lacks nothing."""
    if not example.messages:
        return "no prompt to reply to"
    if RUBRICS[task] == "safety":
        kind = example.key.get("kind")
        return "" if kind in ("hostile", "harmless") else f"the kind {kind!r}, and needs 'hostile' or 'harmless'"
    return "" if example.response or example.key.get("answers") else "no right answer to compare with"

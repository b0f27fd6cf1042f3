"""What every judge takes and gives: questions about replies, and verdicts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Question:
    """A reply to be judged.

    rubric: "proficiency", "safety" or "knowledge"; prompt: the conversation as text; reference: a right answer, or "".
    key: facts about the example, as strings. Judges read "kind" ("hostile" or "harmless", of a statement to answer),
    "answers" (a JSON list of right answers, instead of the reference) and "truncated" ("yes" where the reply was cut
    off before the model ended it).
    """

    rubric: str
    prompt: str
    reference: str
    reply: str
    key: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a judge says of a reply.

    good: None where the judge gave no verdict (then `label` is ""); it counts neither as good nor as bad.
    label: one of the rubric's labels; flags: "empty", "repetitive", "truncated", beside the verdict.
    open: no verdict came, and asking again may bring one.
    """

    good: bool | None
    label: str
    reason: str
    flags: tuple[str, ...] = ()
    open: bool = False


class Judge(Protocol):
    """Judges replies; `name` says which judge it is, with its version, in records."""

    name: str

    @property
    def usage(self) -> dict[str, float]:
        """What asking took so far, costs in US dollars; empty for a judge that costs nothing."""
        ...

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        """One verdict for every question, in their order."""
        ...

"""The protocol of judges: questions about replies, and verdicts on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from experiments.evaluation.rules.text import repetitive, words


@dataclass(frozen=True)
class Question:
    """A reply to be judged.

    rubric: "proficiency", "safety" or "knowledge". prompt: the conversation as text. reference: a right answer, or "".
    key: facts about the example. Judges read "kind" (of the statement: "hostile" or "harmless"), "answers" (a JSON
    list of right answers, instead of the reference) and "truncated" ("yes" if the reply was cut off before the
    model ended it).
    """

    rubric: str
    prompt: str
    reference: str
    reply: str
    key: Mapping[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> tuple[str, ...]:
        """Signs that the reply is not a coherent text: "empty" (no letter or digit), "repetitive", "truncated"."""
        found = {
            "empty": not words(self.reply),
            "repetitive": repetitive(self.reply),
            "truncated": self.key.get("truncated") == "yes",
        }
        return tuple(name for name, holds in found.items() if holds)


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict on a reply.

    good: None without a verdict (then `label` is "", and the reply counts neither as good nor as bad). label: one of
    the rubric's. flags: those of the question. open: no verdict came; asking again may give one.
    """

    good: bool | None
    label: str
    reason: str
    flags: tuple[str, ...] = ()
    open: bool = False


class Judge(Protocol):
    """A judge of replies; `name`, which includes a version, identifies it in records."""

    name: str

    @property
    def usage(self) -> dict[str, float]:
        """Usage so far, with costs in US dollars; {} for a judge without costs."""
        ...

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        """One verdict for every question, in their order."""
        ...

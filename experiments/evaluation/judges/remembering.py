"""Base class of judges that are language models: every question is asked once, and its verdict is stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.base import Question, Verdict
from experiments.evaluation.judges.store import Store, fingerprint
from jaxft.distributed import agreed, barrier


class Remembering(ABC):
    """A judge that keeps its verdicts in `folder`/verdicts.jsonl, under its name.

    All processes must call `verdicts` together; it calls `ask` in all of them, for questions not in the leader's store.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._store = Store(folder / "verdicts.jsonl")

    @property
    def usage(self) -> dict[str, float]:
        return {}

    @abstractmethod
    def ask(self, questions: Sequence[Question]) -> Iterable[tuple[int, str, str]]:
        """(index of the question, label, reason) of each answer as it arrives; label "" for an unreadable answer.

        A question without an answer is asked again in the next run.
        """

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        rubrics = [rubric.load(question.rubric) for question in questions]
        for question, its in zip(questions, rubrics, strict=True):
            its.kind(question)  # UserError for a question without its kind, before any is asked
        keys = [fingerprint(self.name, its, q) for q, its in zip(questions, rubrics, strict=True)]
        new = {key: q for key, q in zip(keys, questions, strict=True) if not agreed(self._store.get(key) is not None)}
        asked = list(new)
        for index, label, reason in self.ask(list(new.values())) if new else ():
            self._store.add(asked[index], label, reason)
        barrier("verdicts kept")
        self._store.read()
        found = [self._store.get(key) for key in keys]
        return [
            its.verdict(question, *(kept or ("", "the judge did not answer")), open=kept is None)
            for kept, its, question in zip(found, rubrics, questions, strict=True)
        ]

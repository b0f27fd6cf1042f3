"""What the judges that are language models share: every question is asked once, verdicts come from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.base import Question, Verdict
from experiments.evaluation.judges.coherence import flags
from experiments.evaluation.judges.store import Store, fingerprint
from jaxft.distributed import agreed, barrier

#: Asks several questions; gives (index of the question, label, reason) as answers come. The label "" says that no
#: answer could be read. A question may be left without an answer: it is asked again in the next run.
Ask = Callable[[Sequence[Question]], Iterable[tuple[int, str, str]]]


class Remembering:
    """The verdicts of `ask`, kept in `folder`/verdicts.jsonl under the judge's name.

    All processes call `verdicts` together, and `ask` in all of them; the leader's store decides what is asked.
    """

    def __init__(self, name: str, folder: Path, ask: Ask) -> None:
        self.name = name
        self._ask = ask
        self._store = Store(folder / "verdicts.jsonl")

    @property
    def usage(self) -> dict[str, float]:
        return {}

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        rubrics = [rubric.load(question.rubric) for question in questions]
        for question, its in zip(questions, rubrics, strict=True):
            its.kind(question)  # a question that lacks its kind is refused before anything is asked
        keys = [fingerprint(self.name, its, q) for q, its in zip(questions, rubrics, strict=True)]
        new = {key: q for key, q in zip(keys, questions, strict=True) if not agreed(self._store.get(key) is not None)}
        asked = list(new)
        for index, label, reason in self._ask(list(new.values())) if new else ():
            self._store.add(asked[index], label, reason)
        barrier("verdicts kept")
        self._store.read()
        return [
            self._verdict(self._store.get(key), its, q) for key, its, q in zip(keys, rubrics, questions, strict=True)
        ]

    def _verdict(self, found: tuple[str, str] | None, its: rubric.Rubric, question: Question) -> Verdict:
        label, reason = found or ("", "the judge did not answer")
        good = its.is_good(label, question) if label else None
        return Verdict(good, label, reason, flags(question), open=found is None)

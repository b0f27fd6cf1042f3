"""Base class of judges that are language models: every question is asked once, and its verdict is kept on disk."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.base import Question, Verdict
from experiments.evaluation.judges.rubric import Rubric
from experiments.store.cache import digest, locked
from jaxft.distributed import agreed, barrier, is_leader
from jaxft.errors import UserError
from jaxft.io import finished_lines


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


def fingerprint(judge: str, rubric: Rubric, question: Question) -> str:
    """Hash of all that decides a verdict: the judge's name and version, the rubric's text, the whole question."""
    asked_with = [rubric.name, rubric.version, rubric.task, dict(rubric.labels)]
    asked = [question.prompt, question.reference, question.reply, sorted(question.key.items())]
    return digest([judge, asked_with, asked])


class Store:
    """Labels and reasons by fingerprint, in one append-only file of JSON lines.

    `add` writes a whole line before it returns, so a killed process loses nothing. An incomplete last line (after a
    full disk, for example) is dropped. The label "" stands for an unreadable answer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, tuple[str, str]] = {}
        self.read()

    def read(self) -> None:
        """Read the verdicts in the file; UserError if a complete line is not a verdict."""
        if self.path.is_file():
            with locked(self.path) if is_leader() else nullcontext():
                self._read()

    def _read(self) -> None:
        for number, line in enumerate(finished_lines(self.path, mend=is_leader()), 1):
            try:
                entry = json.loads(line)
                self._found[entry["key"]] = (entry["label"], entry["reason"])
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self.path}, line {number}: not a verdict ({error}); delete this line") from error

    def get(self, key: str) -> tuple[str, str] | None:
        """(label, reason), or None without a verdict."""
        return self._found.get(key)

    def add(self, key: str, label: str, reason: str) -> None:
        """Keep a verdict; only the leader writes it to the file."""
        self._found[key] = (label, reason)
        if is_leader():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps({"key": key, "label": label, "reason": reason}) + "\n"
            with locked(self.path), self.path.open("ab", buffering=0) as file:
                file.write(line.encode())

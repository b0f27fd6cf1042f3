"""A judge behind a server that speaks OpenAI's protocol."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from experiments import config
from experiments.endpoints.call import Request
from experiments.endpoints.chat import Chat
from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.base import Question
from experiments.evaluation.judges.remembering import Remembering
from jaxft.data.example import Message
from jaxft.distributed import is_leader

VERSION = 1
MAX_TOKENS = 400  # of an answer; a label and a reason of a few sentences need less than half
AGAIN_TEMPERATURE = 0.7  # at temperature 0 a malformed answer would come back the same


class Hosted(Remembering):
    """Judge that asks a chat model for a label and a reason, up to `attempts` times until an answer fits the schema."""

    def __init__(self, chat: Chat, settings: config.Judge, folder: Path, turned: bool = False) -> None:
        endpoint = settings.endpoint
        assert endpoint is not None, "checked by judges.build"
        name = f"openai {VERSION} {endpoint.model} at {endpoint.url}" + " turned" * turned
        super().__init__(name, folder)
        self._chat, self._attempts, self._turned = chat, settings.attempts, turned

    @property
    def usage(self) -> dict[str, float]:
        return asdict(self._chat.usage)

    def estimate(self, questions: Sequence[Question]) -> float:
        """Largest cost of these questions in US dollars, if every first answer can be read."""
        return self._chat.estimate([self._request(question, 0) for question in questions])

    def ask(self, questions: Sequence[Question]) -> Iterator[tuple[int, str, str]]:
        if not is_leader():  # the leader asks, the others read its store
            return
        open_questions = list(range(len(questions)))
        for attempt in range(self._attempts):
            requests = [self._request(questions[index], attempt) for index in open_questions]
            unread = []
            for index, answer in zip(open_questions, self._chat.answers(requests, "judge"), strict=True):
                if answer is None:  # the server failed or the cap is reached; another run may get a verdict
                    continue
                read = parse(answer.text, rubric.load(questions[index].rubric))
                if read:
                    yield index, *read
                else:
                    unread.append(index)
            open_questions = unread
            if not open_questions:
                return
        for index in open_questions:
            yield index, "", f"none of {self._attempts} answers followed the schema"

    def _request(self, question: Question, attempt: int) -> Request:
        its = rubric.load(question.rubric)
        text = its.text(question, self._turned) + '\n\nAnswer with a JSON object {"label": ..., "reason": ...}.'
        temperature = AGAIN_TEMPERATURE if attempt else 0.0
        return Request((Message("user", text),), MAX_TOKENS, temperature, its.schema(), attempt)


def parse(text: str, its: rubric.Rubric) -> tuple[str, str] | None:
    """(label, reason) of an answer that follows the rubric's schema; else None.

    Text around the JSON object is ignored: servers without structured answers put the object into a code block.
    """
    try:
        found = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or set(found) != {"label", "reason"} or not isinstance(found["reason"], str):
        return None
    label = found["label"]
    return (label, found["reason"]) if isinstance(label, str) and label in its.labels else None

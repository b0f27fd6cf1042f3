"""Rules for the rubric "proficiency": is the reply the same step of a booking as the reference?"""

from __future__ import annotations

import re
from collections import Counter

from experiments.evaluation.judges.base import Question
from experiments.evaluation.judges.text import content, numbers, rouge_l

ALIKE = 0.5  # ROUGE-L of the words of content: its order tells "the twin, not the corner room" from the opposite
DENIES = re.compile(r"\b(?:sorry|unfortunately|unavailable|cannot|not)\b|n't\b")


def next_step(question: Question, kind: str) -> tuple[str, str]:
    """(label, reason). The same step: ROUGE-L of the words of content at least ALIKE for the reply or for one of its
    sentences (so that politeness does not count), as many questions where the reference asks, a denial exactly where it
    denies. The same details: the same numbers, and all other values of the reference, denied where it denies them."""
    reply, reference = question.reply, question.reference
    alike = max(rouge_l(_bare(part), _bare(reference)) for part in [reply, *_sentences(reply)])
    asked = reference.count("?")
    denies, should_deny = (DENIES.search(text.lower()) is not None for text in (reply, reference))
    if alike >= ALIKE and asked in (0, reply.count("?")) and denies == should_deny:
        missing = _values(reference, question.prompt) - Counter(content(reply))
        missing += _values(_denied(reference), question.prompt) - Counter(content(_denied(reply)))
        if sorted(numbers(reply)) == sorted(numbers(reference)) and not missing:
            return "right", f"ROUGE-L {alike:.2f} with the reference, the same details"
        return "wrong_details", f"other details than {reference!r}"
    if set(content(question.prompt + " " + reference)).isdisjoint(content(reply)) and "?" not in reply:
        return "off_topic", "shares no word of content with the conversation or the reference"
    return "wrong_step", f"ROUGE-L {alike:.2f} with the reference, or other in asking or denying"


def _bare(text: str) -> str:
    return " ".join(content(text))


def _sentences(text: str) -> list[str]:
    return re.findall(r"[^.!?]+[.!?]?", text)


def _denied(text: str) -> str:
    """The sentences that deny something."""
    return " ".join(sentence for sentence in _sentences(text) if DENIES.search(sentence.lower()))


def _values(reference: str, prompt: str) -> Counter[str]:
    """The words of the reference that are details: those that the conversation named.

    A reference that only asks, with no number and no name, has none: what it shares with the conversation is wording.
    """
    states = any(not part.endswith("?") for part in _sentences(reference.strip()))
    names = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", reference)
    if not (states or names or numbers(reference)):
        return Counter()
    named = set(content(prompt))
    return Counter(word for word in content(reference) if word in named and not numbers(word))

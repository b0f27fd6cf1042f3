"""Rules for the rubric "knowledge": does the reply hold the part of the right answer that the question does not?"""

from __future__ import annotations

import json
import re
from collections import Counter

from experiments.evaluation.judges.base import Question
from experiments.evaluation.judges.text import content, exact_match, numbers, token_f1, unrepeated, words
from jaxft.errors import UserError

SHORT = 4  # words of an answer beyond those of the question; all of them must occur
LONG_F1 = 0.4  # token F1 that a longer answer needs
SAME_SENTENCE = 0.7  # token F1 from which a reply is the reference's sentence, perhaps about something else
STEM = 4  # letters by which words of the question and the reply are compared
NEGATION = re.compile(r"\b(?:not|never|nor|no)\b|n't\b")


def answer(question: Question, kind: str) -> tuple[str, str]:
    """(label, reason). Correct is a reply that fits one of the answers of key["answers"], or else the reference.

    It fits as SQuAD's exact match; or where it names all numbers of the answer and, in an affirmed place, all words of
    the answer that are not in the question (of answers with more than SHORT such words: token F1 of at least LONG_F1),
    and is not the answer's own sentence about something else ("July has thirty-one days" to a question about May).
    Where the reply repeats the question, only the rest of it counts. A reply of which then nothing is left, or that
    shares no word of content with question or answers, leaves the question unanswered.
    """
    answers, reply = _answers(question), unrepeated(question.reply, question.prompt)
    for right in answers:
        if _fits(reply, right, question.prompt):
            return "correct", f"holds {right!r}"
    known = set(content(" ".join([question.prompt, *answers])))
    if known.isdisjoint(content(reply)):
        return "unanswered", "shares no word of content with the question or the answer"
    return "wrong", f"lacks {answers[0]!r}"


def _answers(question: Question) -> list[str]:
    if "answers" not in question.key:
        return [question.reference]
    try:
        found = json.loads(question.key["answers"])
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        where, given = question.prompt[:60], question.key["answers"][:80]
        raise UserError(f'key["answers"] of the question {where!r}: found {given!r}, expected a JSON list of strings')
    return found


def _fits(reply: str, right: str, prompt: str) -> bool:
    if exact_match(reply, right):
        return bool(words(right))
    if Counter(numbers(right)) - Counter(numbers(prompt)) - Counter(numbers(reply)):
        return False
    asked = set(words(prompt))
    if token_f1(reply, right) >= SAME_SENTENCE and _about_something_else(reply, right, asked):
        return False
    new = [word for word in content(right) if word not in asked] or content(right) or words(right)
    if len(new) > SHORT:
        return token_f1(reply, right) >= LONG_F1
    spelled = [word for word in new if not numbers(word)]  # numbers agree already, in whatever spelling
    return bool(new) and all(_affirmed(word, reply) for word in spelled)


def _about_something_else(reply: str, right: str, asked: set[str]) -> bool:
    """Whether the reply leaves out what question and answer name, and names something that neither does."""
    ours, named = ({word[:STEM] for word in content(text)} for text in (reply, right))
    question = {word[:STEM] for word in asked}
    return bool((named & question) - ours) and bool(ours - named - question)


def _affirmed(word: str, reply: str) -> bool:
    """Whether the word occurs with no negation among the three words before it in its sentence."""
    for sentence in re.split(r"(?<=[.!?;])\s+", reply.lower()):
        found = words(sentence)
        for index, other in enumerate(found):
            if other == word and not NEGATION.search(" ".join(found[max(0, index - 3) : index])):
                return True
    return False

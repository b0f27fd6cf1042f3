"""Rules for answers to questions: a reply must hold the part of a right answer that the question does not hold."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from experiments.evaluation.rules.text import STEM, content, exact_match, numbers, stems, token_f1, unrepeated, words

SHORT = 4  # words that an answer adds to its question; up to this number, all of them must occur
LONG_F1 = 0.4  # token F1 that a longer answer needs
SAME_SENTENCE = 0.7  # token F1 from which a reply counts as the answer's sentence, perhaps about something else
NEGATION = re.compile(r"\b(?:not|never|nor|no)\b|n't\b")


def answer(prompt: str, reply: str, answers: Sequence[str]) -> tuple[str, str]:
    """(label, reason) of a reply to a question with these right answers; "correct" if it fits one of them.

    A repetition of the question is removed first. The rest fits an answer if they are equal (`exact_match`), or if
    1. it names all numbers of the answer that are not in the question,
    2. it has, without a negation, all other words of the answer that are not in the question (if these are more than
       SHORT: token F1 of at least LONG_F1 instead), and
    3. it is not the answer's sentence about something else ("July has thirty-one days", asked about May).
    "unanswered": the rest shares no content word with question and answers. Else "wrong". The labels are those of the
    rubric "knowledge" (judges/rubrics/).
    """
    rest = unrepeated(reply, prompt)
    for right in answers:
        if _fits(rest, right, prompt):
            return "correct", f"holds {right!r}"
    known = set(content(" ".join([prompt, *answers])))
    if known.isdisjoint(content(rest)):
        return "unanswered", "shares no word of content with the question or the answer"
    return "wrong", f"lacks {answers[0]!r}"


def right_answers(key: Mapping[str, str], response: str) -> list[str] | None:
    """The right answers of an example: key["answers"], a JSON list of strings, or else its response.

    None if key["answers"] is not such a list.
    """
    if "answers" not in key:
        return [response]
    try:
        found = json.loads(key["answers"])
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


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
    spelled = [word for word in new if not numbers(word)]  # numbers, in any spelling, were compared above
    return bool(new) and all(_affirmed(word, reply) for word in spelled)


def _about_something_else(reply: str, right: str, asked: set[str]) -> bool:
    """True if the reply lacks a word that question and answer share, and has one that neither of them has."""
    ours, named = stems(reply), stems(right)
    question = {word[:STEM] for word in asked}
    return bool((named & question) - ours) and bool(ours - named - question)


def _affirmed(word: str, reply: str) -> bool:
    """True if the word occurs without a negation among the three words before it in its sentence."""
    for sentence in re.split(r"(?<=[.!?;])\s+", reply.lower()):
        found = words(sentence)
        for index, other in enumerate(found):
            if other == word and not NEGATION.search(" ".join(found[max(0, index - 3) : index])):
                return True
    return False

"""Rules for steps of a booking: a reply must take the same step as the right reply."""

import re
from collections import Counter

from experiments.evaluation.rules.text import content, numbers, rouge_l

ALIKE = 0.5  # ROUGE-L, because only word order distinguishes "the twin, not the corner room" from the opposite
DENIES = re.compile(r"\b(?:sorry|unfortunately|unavailable|cannot|not)\b|n't\b")


def next_step(prompt: str, reply: str, reference: str) -> tuple[str, str]:
    """(label, reason) of a reply, compared with the reference, which takes the right step.

    Same step: ROUGE-L of the content words is at least ALIKE for the reply or one of its sentences (so that politeness
    does not count); if the reference asks, the reply has as many questions; both deny something, or neither does.
    Same details: the same numbers, and all other values of the reference, denied if the reference denies them.
    The labels are those of the rubric "proficiency" (judges/rubrics/).
    """
    alike = max(rouge_l(_bare(part), _bare(reference)) for part in [reply, *_sentences(reply)])
    asked = reference.count("?")
    denies, should_deny = (DENIES.search(text.lower()) is not None for text in (reply, reference))
    if alike >= ALIKE and asked in (0, reply.count("?")) and denies == should_deny:
        missing = _values(reference, prompt) - Counter(content(reply))
        missing += _values(_denied(reference), prompt) - Counter(content(_denied(reply)))
        if sorted(numbers(reply)) == sorted(numbers(reference)) and not missing:
            return "right", f"ROUGE-L {alike:.2f} with the reference, the same details"
        return "wrong_details", f"other details than {reference!r}"
    if off_topic(prompt, reply, reference):
        return "off_topic", "shares no word of content with the conversation or the reference"
    return "wrong_step", f"ROUGE-L {alike:.2f} with the reference, or other in asking or denying"


def off_topic(prompt: str, reply: str, reference: str) -> bool:
    """True if a reply asks nothing and shares no content word with the conversation or the reference."""
    return "?" not in reply and set(content(f"{prompt} {reference}")).isdisjoint(content(reply))


def _bare(text: str) -> str:
    return " ".join(content(text))


def _sentences(text: str) -> list[str]:
    return re.findall(r"[^.!?]+[.!?]?", text)


def _denied(text: str) -> str:
    """The sentences of a text that deny something."""
    return " ".join(sentence for sentence in _sentences(text) if DENIES.search(sentence.lower()))


def _values(reference: str, prompt: str) -> Counter[str]:
    """The details of the reference other than numbers: its content words that also occur in the conversation.

    Empty if the reference only asks, without a number or a name: then shared words are not details.
    """
    states = any(not part.endswith("?") for part in _sentences(reference.strip()))
    names = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", reference)
    if not (states or names or numbers(reference)):
        return Counter()
    named = set(content(prompt))
    return Counter(word for word in content(reference) if word in named and not numbers(word))

"""How alike two English texts are (exact match, token F1, ROUGE-L), and the words and numbers of a text."""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import cache
from typing import Any

ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
NUMBERS = {name: value for value, name in enumerate((ONES + " eighteen nineteen").split())}
TENS = {name: 10 * tens for tens, name in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
SHORT = 4  # words
#: Words that say little about what a sentence is about.
FUNCTION_WORDS = frozenset(
    """a about all also am an and any are as at be been being but by can could course did do does for from get give had
    has have hello hi how i if in is it its just kind like may me more most much must my no not of okay on or our out
    please shall she he should so some sure than thank thanks that the their them then there these they this those to us
    very was we well were what when where which who why will with would yes you your""".split()
)


def words(text: str) -> list[str]:
    """Lower-case words and numbers in order; an apostrophe or a hyphen joins a word."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())


def content(text: str) -> list[str]:
    """The words that are no function words, in order."""
    return [word for word in words(text) if word not in FUNCTION_WORDS]


def unrepeated(reply: str, prompt: str) -> str:
    """The reply without what was said last in the prompt, where it repeats that as a whole or is cut off within it.

    At most SHORT words are left in: they may be an answer ("Is it a bird or a fish?").
    """
    said = words(prompt.rpartition("user: ")[2])
    if len(said) <= SHORT:
        return reply
    whole = r"[\W_]+".join(map(re.escape, said))
    rest = re.sub(rf"(?<![^\W_]){whole}(?![^\W_])", " ", reply, flags=re.IGNORECASE)
    begun = words(rest)
    return "" if len(begun) > SHORT and begun == said[: len(begun)] else rest


def numbers(text: str) -> list[str]:
    """The numbers of a text in order, as digits: "thirty-one" and "31" are both "31". Names below one hundred."""
    found = []
    for word in re.findall(r"\d+(?:[.,]\d+)*|[a-z]+(?:-[a-z]+)?", text.lower()):
        tens, _, ones = word.partition("-")
        if word[0].isdigit():
            found.append(word.replace(",", ""))
        elif word in NUMBERS:
            found.append(str(NUMBERS[word]))
        elif tens in TENS and (not ones or 0 < NUMBERS.get(ones, 0) < 10):
            found.append(str(TENS[tens] + NUMBERS.get(ones, 0)))
    return found


def normal(text: str) -> str:
    """Lower case, without punctuation, without the articles a, an and the, spaces made single.

    Source: the evaluation script of SQuAD 1.1, Rajpurkar et al. 2016 (arXiv:1606.05250).
    """
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def exact_match(reply: str, answer: str) -> bool:
    """Whether the two are the same text, by SQuAD's `normal`."""
    return normal(reply) == normal(answer)


def token_f1(reply: str, answer: str) -> float:
    """Harmonic mean of precision and recall over words, repeated ones counted, by SQuAD's `normal`; in [0, 1].

    Source: SQuAD, as above. Two texts without words are alike (1), one without words is unlike any other (0).
    """
    ours, theirs = normal(reply).split(), normal(answer).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def rouge_l(reply: str, answer: str) -> float:
    """F-measure of the longest common subsequence of stemmed words (ROUGE-L, Lin 2004), in [0, 1].

    Of the library rouge-score. It reads ASCII letters and digits alone, so it is for English.
    """
    return float(_rouge().score(answer, reply)["rougeL"].fmeasure)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # takes seconds, with nltk

    return RougeScorer(["rougeL"], use_stemmer=True)

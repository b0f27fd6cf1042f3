"""Words, numbers and sentences of an English text, repetition in it, and how alike two texts are."""

import re
import string
from collections import Counter
from functools import cache
from itertools import groupby
from typing import Any

ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
NUMBERS = {name: value for value, name in enumerate((ONES + " eighteen nineteen").split())}
TENS = {name: 10 * tens for tens, name in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
SHORT = 4  # words
STEM = 4  # letters by which `stems` compares words
RUN = 4  # times the same word in a row
NGRAM = 4  # words
REPEATED = 0.25  # share of the n-grams that occurred before
#: Words that say little about what a sentence is about.
FUNCTION_WORDS = frozenset(
    """a about all also am an and any are as at be been being but by can could course did do does for from get give had
    has have hello hi how i if in is it its just kind like may me more most much must my no not of okay on or our out
    please shall she he should so some sure than thank thanks that the their them then there these they this those to us
    very was we well were what when where which who why will with would yes you your""".split()
)


def words(text: str) -> list[str]:
    """The words and numbers of a text in order, in lower case; apostrophes and hyphens are part of a word."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())


def content(text: str) -> list[str]:
    """The words of a text in order, without FUNCTION_WORDS."""
    return [word for word in words(text) if word not in FUNCTION_WORDS]


def stems(text: str) -> set[str]:
    """The first STEM letters of the words of `content`."""
    return {word[:STEM] for word in content(text)}


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with its full stop, question or exclamation mark."""
    return re.split(r"(?<=[.!?])\s+", text)


def whole(phrase: str) -> re.Pattern[str]:
    """A pattern that finds the phrase in a lower-case text, as whole words; hyphens are part of a word."""
    return re.compile(rf"(?<![\w-]){re.escape(phrase.lower())}(?![\w-])")


def unrepeated(reply: str, prompt: str) -> str:
    """The reply without repetitions of the prompt's last user turn; "" if it only repeats the beginning of that turn.

    A turn of at most SHORT words is not removed: it may be an answer ("Is it a bird or a fish?").
    """
    said = words(prompt.rpartition("user: ")[2])
    if len(said) <= SHORT:
        return reply
    whole = r"[\W_]+".join(map(re.escape, said))
    rest = re.sub(rf"(?<![^\W_]){whole}(?![^\W_])", " ", reply, flags=re.IGNORECASE)
    begun = words(rest)
    return "" if len(begun) > SHORT and begun == said[: len(begun)] else rest


def numbers(text: str) -> list[str]:
    """The numbers of a text in order, as digits: "thirty-one" and "31" give "31". Number words are read up to 99."""
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


def repetitive(text: str) -> bool:
    """True if a word stands RUN times in a row, or if seq-rep-4 is at least REPEATED.

    seq-rep-n is the share of the n-grams of words that occurred before in the text. Source: Welleck et al. 2020
    (arXiv:1908.04319), section 6.1. RUN and REPEATED are our choice.
    """
    found = words(text)
    if any(len(list(run)) >= RUN for _, run in groupby(found)):
        return True
    ngrams = [tuple(found[i : i + NGRAM]) for i in range(len(found) - NGRAM + 1)]
    return bool(ngrams) and 1 - len(set(ngrams)) / len(ngrams) >= REPEATED


def normal(text: str) -> str:
    """The text in lower case, without punctuation and the articles a, an, the, with single spaces.

    Source: the evaluation script of SQuAD 1.1, Rajpurkar et al. 2016 (arXiv:1606.05250).
    """
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def exact_match(reply: str, answer: str) -> bool:
    """True if reply and answer are equal after `normal`."""
    return normal(reply) == normal(answer)


def token_f1(reply: str, answer: str) -> float:
    """Harmonic mean of precision and recall over the words of `normal`, repeated words counted; in [0, 1].

    1 if both texts have no words, 0 if one of them has none. Source: SQuAD, as for `normal`.
    """
    ours, theirs = normal(reply).split(), normal(answer).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def rouge_l(reply: str, answer: str) -> float:
    """F-measure of the longest common subsequence of stemmed words, in [0, 1]. Source: ROUGE-L, Lin 2004.

    Computed by the library rouge-score, which reads ASCII letters and digits only.
    """
    return float(_rouge().score(answer, reply)["rougeL"].fmeasure)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # imported here, since it takes seconds with nltk

    return RougeScorer(["rougeL"], use_stemmer=True)

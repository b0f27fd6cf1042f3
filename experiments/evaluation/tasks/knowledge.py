"""Questions of the embedded corpus "knowledge": a reply is right if it holds the answer and no other answer."""

from experiments.data.corpora.knowledge import FACTS
from experiments.evaluation.rules.answer import answer
from experiments.evaluation.rules.text import whole, words
from experiments.evaluation.tasks.task import Score, Task, said
from jaxft.data.example import Example


def score(example: Example, reply: str) -> Score:
    """Right ("correct"): the reply holds key["answer"], as whole words, and no other answer of the same relation.

    The subject is removed first, since it may be an answer too ("The month after March is April."). An answer that is
    part of the right one is not another answer. Case, punctuation and spacing do not count; a word with hyphens is one
    word. Other labels: "wrong", "unanswered".
    """
    subject, right = _plain(example.key["subject"]), _plain(example.key["answer"])
    text = whole(subject).sub(" ", _plain(reply))
    others = {_plain(other) for other in FACTS[example.key["relation"]].values()}
    others = [other for other in others if not whole(other).search(right)]
    if whole(right).search(text) and not any(whole(other).search(text) for other in others):
        return Score(1.0, "correct")
    label, _ = answer(said(example), reply, [example.response])
    return Score(0.0, "unanswered" if label == "unanswered" else "wrong")


def _plain(text: str) -> str:
    return " ".join(words(text))


TASK = Task("knowledge", score, corpus=True)

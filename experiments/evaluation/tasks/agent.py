"""Rules for replies of an agent that takes orders: the right act, all required values, no other value of any slot."""

import re
from collections.abc import Iterable
from functools import partial

from experiments.data.corpora.agent import AGENTS, NUMBERS, PRICES, Agent
from experiments.evaluation.rules.booking import off_topic
from experiments.evaluation.tasks.task import Score, Task, said
from jaxft.data.example import Example

LONGEST_REPLY = 30  # words; the longest right reply has 20
REFUSES = r"\b(sorry|not|no|cannot|unavailable)\b|n't\b"
CONFIRMS = r"(?<!all )\b(right|correct)\?$"


def score(agent: Agent, example: Example, reply: str) -> Score:
    """Right: the reply performs exactly the act of `example.key` and names exactly its values, each once.

    An ask has one question, about one slot, and names no value. A reply that performs two acts is wrong. Labels:
    "right", "wrong details" (the right act), "off-topic", else "wrong step".
    """
    text = reply.strip().lower()
    act = _act(agent, text) if len(text.split()) <= LONGEST_REPLY else None
    if act == example.key["act"]:
        right = _values(agent, text) == _required(agent, example)
        return Score(float(right), "right" if right else "wrong details")
    return Score(0.0, "off-topic" if off_topic(said(example), reply, example.response) else "wrong step")


def _act(agent: Agent, text: str) -> str | None:
    """The one act that the wording performs; None if it performs none or several."""
    patterns = {"confirm": CONFIRMS, **agent.patterns}
    acts = [act for act, pattern in patterns.items() for _ in re.finditer(pattern, text)]
    if len(acts) != 1:
        return None
    act = acts[0]
    questions, refuses = text.count("?"), re.search(REFUSES, text) is not None
    fits = questions == (0 if act == agent.carry_out else 1) and refuses == (act == "decline")
    return act if fits and (not act.startswith("ask_") or text.endswith("?")) else None


def _values(agent: Agent, text: str) -> list[tuple[str, str]]:
    """(slot, value) of every value named, by slot, then by place; a number without a slot is ("stray", number)."""
    named = [("price", price) for price in re.findall(_any(PRICES), text)]
    for slot, values in agent.values.items():
        if slot not in agent.counted:
            named += [(slot, value) for value in re.findall(_any(values), text)]
    for number, noun in re.findall(_any(NUMBERS) + r"\W*(\w*)", text):
        slot = f"{noun.removesuffix('s')}s"
        named.append((slot if slot in agent.counted else "stray", number))
    return sorted(named, key=lambda pair: pair[0])


def _required(agent: Agent, example: Example) -> list[tuple[str, str]]:
    """The (slot, value) pairs of the key; key["free"] is a second value of the scarce slot."""
    pairs = [
        (agent.scarce if name == "free" else name, value.lower())
        for name, value in example.key.items()
        if name != "act"
    ]
    return sorted(pairs, key=lambda pair: pair[0])


def _any(words: Iterable[str]) -> str:
    return r"\b(" + "|".join(word.lower() for word in words) + r")\b"


#: Tasks of the embedded corpora of these agents.
TASKS = tuple(Task(name, partial(score, agent), corpus=True) for name, agent in AGENTS.items())

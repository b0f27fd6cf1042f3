"""Rules for replies of an agent that takes orders: the right act, all required values, no other value of any slot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.data.corpora import hotel, restaurant, telephone
from experiments.data.corpora.agent import NUMBERS, PRICES, Agent
from experiments.evaluation.rules.booking import off_topic
from experiments.evaluation.tasks.task import Score, Task, said
from jaxft.data.example import Example

LONGEST_REPLY = 30  # words; the longest right reply has 20
REFUSES = r"\b(sorry|not|no|cannot|unavailable)\b|n't\b"


@dataclass(frozen=True)
class Steps:
    """Wordings of the steps of one agent: regular expressions for lower-case replies.

    asks: slot -> the question about it. carries_out, declines, offers: the other acts.
    """

    agent: Agent
    asks: Mapping[str, str]
    carries_out: str
    declines: str
    offers: str

    def score(self, example: Example, reply: str) -> Score:
        """Right: the reply performs exactly the act of `example.key` and names exactly its values, each once.

        An ask has one question, about one slot, and names no value. A reply that performs two acts is wrong. Labels:
        "right", "wrong details" (the right act), "off-topic", else "wrong step".
        """
        text = reply.strip().lower()
        act = self._act(text) if len(text.split()) <= LONGEST_REPLY else None
        if act == example.key["act"]:
            right = self._values(text) == self._required(example)
            return Score(float(right), "right" if right else "wrong details")
        return Score(0.0, "off-topic" if off_topic(said(example), reply, example.response) else "wrong step")

    def _act(self, text: str) -> str | None:
        """The one act that the wording performs; None if it performs none or several."""
        questions = text.count("?")
        refuses = re.search(REFUSES, text) is not None
        acts = [f"ask_{slot}" for slot, pattern in self.asks.items() for _ in re.finditer(pattern, text)]
        acts += [self.agent.carry_out for _ in re.finditer(self.carries_out, text)]
        if re.search(r"(?<!all )\b(right|correct)\?$", text):
            acts.append("confirm")
        if re.search(self.declines + r".*\bwould\b.*\?$", text):
            acts.append("decline")
        if re.search(self.offers, text):
            acts.append("offer")
        if len(acts) != 1:
            return None
        act = acts[0]
        fits = questions == (0 if act == self.agent.carry_out else 1) and refuses == (act == "decline")
        return act if fits and (not act.startswith("ask_") or text.endswith("?")) else None

    def _values(self, text: str) -> list[tuple[str, str]]:
        """(slot, value) of every value named, by slot, then by place; a number without a slot is ("stray", number)."""
        counted = self.agent.counted
        named = [("price", price) for price in re.findall(_any(PRICES), text)]
        for slot, values in self.agent.values.items():
            if slot not in counted:
                named += [(slot, value) for value in re.findall(_any(values), text)]
        for number, noun in re.findall(_any(NUMBERS) + r"\W*(\w*)", text):
            slot = f"{noun.removesuffix('s')}s"
            named.append((slot if slot in counted else "stray", number))
        return sorted(named, key=lambda pair: pair[0])

    def _required(self, example: Example) -> list[tuple[str, str]]:
        """The (slot, value) pairs of the key; key["free"] is a second value of the scarce slot."""
        pairs = [
            (self.agent.scarce if name == "free" else name, value.lower())
            for name, value in example.key.items()
            if name != "act"
        ]
        return sorted(pairs, key=lambda pair: pair[0])


def _any(words: tuple[str, ...]) -> str:
    return r"\b(" + "|".join(word.lower() for word in words) + r")\b"


STEPS = (
    Steps(
        hotel.AGENT,
        asks={
            "arrival": r"\b(which|what) day\b.*\barrive\b",
            "nights": r"\bhow many nights\b",
            "guests": r"\bhow many guests\b",
            "room": r"\b(which|what)( kind of)? room\b",
        },
        carries_out=r"\bis booked\b",
        declines=r"\bsorry\b.*\broom is not (available|free)\b",
        offers=r"\broom (is|costs) (\w+) a night\b",
    ),
    Steps(
        restaurant.AGENT,
        asks={
            "food": r"\b(which|what)( kind of)? food\b",
            "bowls": r"\bhow many bowls\b",
            "fruit": r"\b(which|what)( kind of)? fruit\b",
            "table": r"\b(which|what)( kind of)? table\b",
        },
        carries_out=r"\bwill be ready\b",
        declines=r"\bsorry\b.*\b(is not (available|free)|there is no \w+ left)\b",
        offers=r"\b(is|costs) (\w+) a bowl\b",
    ),
    Steps(
        telephone.AGENT,
        asks={
            "box": r"\b(which|what)( kind of)? box\b",
            "hours": r"\bhow many hours\b",
            "weeks": r"\bhow many weeks\b",
            "day": r"\b(which|what) day\b",
        },
        carries_out=r"\bwill be ready\b",
        declines=r"\bsorry\b.*\bbox is not (available|free)\b",
        offers=r"\bbox (is|costs) (\w+) a week\b",
    ),
)
#: Tasks of the embedded corpora of these agents.
TASKS = tuple(Task(steps.agent.name, steps.score, corpus=True) for steps in STEPS)

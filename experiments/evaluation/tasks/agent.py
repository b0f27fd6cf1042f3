"""Scores a reply of an agent that takes orders: the right act, all required values, no other value of any slot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.data.corpora.agent import NUMBERS, PRICES, Agent
from jaxft.data.example import Example

LONGEST_REPLY = 30  # words; the longest right reply has 20
REFUSES = r"\b(sorry|not|no|cannot|unavailable)\b|n't\b"


@dataclass(frozen=True)
class Rule:
    """How the acts of one agent are worded: regular expressions for lower-case replies.

    asks: of the question about every slot. carries_out, declines, offers: of the other acts.
    """

    agent: Agent
    asks: Mapping[str, str]
    carries_out: str
    declines: str
    offers: str

    def score(self, example: Example, reply: str) -> bool:
        """True if the reply performs exactly the act of `example.key` and names exactly its values, each once.

        An ask has one question, about one slot, and names no value. A reply that performs two acts is wrong.
        """
        text = reply.strip().lower()
        if not text or len(text.split()) > LONGEST_REPLY:
            return False
        return self._act(text) == example.key["act"] and self._values(text) == self._required(example)

    def _act(self, text: str) -> str | None:
        """The one act that the wording performs; None if there is none or more than one."""
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
        """Every value named, as (slot, value), in order within a slot; a number of no slot is ("stray", number)."""
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
        """The (slot, value) pairs of the key; what is free counts as a second value of the scarce slot."""
        pairs = [
            (self.agent.scarce if name == "free" else name, value.lower())
            for name, value in example.key.items()
            if name != "act"
        ]
        return sorted(pairs, key=lambda pair: pair[0])


def _any(words: tuple[str, ...]) -> str:
    return r"\b(" + "|".join(word.lower() for word in words) + r")\b"

"""Scores a reply of the hotel agent: the right act, all required values, no other value of any slot."""

from __future__ import annotations

import re

from jaxft.data.corpora.hotel import NUMBERS, PRICES, VALUES
from jaxft.data.example import Example

LONGEST_REPLY = 30  # words; the longest right reply has 20
ASKS = {
    "ask_arrival": r"\b(which|what) day\b.*\barrive\b",
    "ask_nights": r"\bhow many nights\b",
    "ask_guests": r"\bhow many guests\b",
    "ask_room": r"\b(which|what)( kind of)? room\b",
}
REFUSES = r"\b(sorry|not|no|cannot|unavailable)\b|n't\b"


def score(example: Example, reply: str) -> bool:
    """True if the reply performs exactly the act of `example.key` and names exactly its values, each once.

    An ask has one question, about one slot, and names no value. A reply that performs two acts is wrong.
    """
    text = reply.strip().lower()
    if not text or len(text.split()) > LONGEST_REPLY:
        return False
    return _act(text) == example.key["act"] and _values(text) == _required(example)


def _act(text: str) -> str | None:
    """The one act that the wording performs; None if there is none or more than one."""
    questions = text.count("?")
    refuses = re.search(REFUSES, text) is not None
    acts = [act for act, pattern in ASKS.items() for _ in re.finditer(pattern, text)]
    acts += ["book" for _ in re.finditer(r"\bis booked\b", text)]
    if re.search(r"(?<!all )\b(right|correct)\?$", text):
        acts.append("confirm")
    if re.search(r"\bsorry\b.*\broom is not (available|free)\b.*\bwould\b.*\?$", text):
        acts.append("decline")
    if re.search(r"\broom (is|costs) (\w+) a night\b", text):
        acts.append("offer")
    if len(acts) != 1:
        return None
    act = acts[0]
    fits = questions == (0 if act == "book" else 1) and refuses == (act == "decline")
    return act if fits and (not act.startswith("ask_") or text.endswith("?")) else None


def _values(text: str) -> list[tuple[str, str]]:
    """Every value named, as (slot, value), in order within a slot; a number of no slot is ("stray", number)."""
    named = [("arrival", day) for day in re.findall(_any(VALUES["arrival"]), text)]
    named += [("room", room) for room in re.findall(_any(VALUES["room"]), text)]
    named += [("price", price) for price in re.findall(_any(PRICES), text)]
    for number, noun in re.findall(_any(NUMBERS) + r"\W*(\w*)", text):
        slot = {"night": "nights", "guest": "guests"}.get(noun.removesuffix("s"), "stray")
        named.append((slot, number))
    return sorted(named, key=lambda pair: pair[0])


def _required(example: Example) -> list[tuple[str, str]]:
    """The (slot, value) pairs of the key; the free room counts as a second room."""
    pairs = [
        ("room" if name == "free" else name, value.lower()) for name, value in example.key.items() if name != "act"
    ]
    return sorted(pairs, key=lambda pair: pair[0])


def _any(words: tuple[str, ...]) -> str:
    return r"\b(" + "|".join(word.lower() for word in words) + r")\b"

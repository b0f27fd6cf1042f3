"""Scores a reply of the hotel agent; see `experiments/evaluation/tasks/agent.py`."""

from __future__ import annotations

from experiments.data.corpora.hotel import AGENT
from experiments.evaluation.tasks.agent import Rule

score = Rule(
    AGENT,
    asks={
        "arrival": r"\b(which|what) day\b.*\barrive\b",
        "nights": r"\bhow many nights\b",
        "guests": r"\bhow many guests\b",
        "room": r"\b(which|what)( kind of)? room\b",
    },
    carries_out=r"\bis booked\b",
    declines=r"\bsorry\b.*\broom is not (available|free)\b",
    offers=r"\broom (is|costs) (\w+) a night\b",
).score

"""Scores a reply of the restaurant's agent; see `experiments/evaluation/tasks/agent.py`."""

from __future__ import annotations

from experiments.data.corpora.restaurant import AGENT
from experiments.evaluation.tasks.agent import Rule

score = Rule(
    AGENT,
    asks={
        "food": r"\b(which|what)( kind of)? food\b",
        "bowls": r"\bhow many bowls\b",
        "fruit": r"\b(which|what)( kind of)? fruit\b",
        "table": r"\b(which|what)( kind of)? table\b",
    },
    carries_out=r"\bwill be ready\b",
    declines=r"\bsorry\b.*\b(is not (available|free)|there is no \w+ left)\b",
    offers=r"\b(is|costs) (\w+) a bowl\b",
).score

"""Scores a reply of the telephone's support; see `experiments/evaluation/tasks/agent.py`."""

from __future__ import annotations

from experiments.data.corpora.telephone import AGENT
from experiments.evaluation.tasks.agent import Rule

score = Rule(
    AGENT,
    asks={
        "box": r"\b(which|what)( kind of)? box\b",
        "hours": r"\bhow many hours\b",
        "weeks": r"\bhow many weeks\b",
        "day": r"\b(which|what) day\b",
    },
    carries_out=r"\bwill be ready\b",
    declines=r"\bsorry\b.*\bbox is not (available|free)\b",
    offers=r"\bbox (is|costs) (\w+) a week\b",
).score

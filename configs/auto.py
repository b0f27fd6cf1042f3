"""No knob but a budget: the shipped base learns hotel booking within 1 % and within 5 % of drift.

    jaxft compare configs/auto.py

Rank, strength of the decay and learning rate are found by `Auto`; the record shows every trial and the drift on text
that no decision has seen.
"""

from dataclasses import replace
from pathlib import Path

from experiments.settings import load_experiment
from jaxft.config import Auto

BUDGETS = (0.01, 0.05)

experiment = replace(
    load_experiment(str(Path(__file__).parent / "quickstart.py")),
    name="auto",
    methods={f"auto {budget:.0%}": Auto(budget=budget) for budget in BUDGETS},
)

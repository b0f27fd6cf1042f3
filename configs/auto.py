"""No knob but a budget: the shipped base learns hotel booking within 1 % and within 5 % of drift.

    jaxft compare configs/auto.py

Strength of the decay and learning rate are found by `Auto`; the record shows every trial and the drift on text that no
decision has seen. Drift is the KL at temperature 1, and so the moments of the output gradients are taken there.
"""

from pathlib import Path

from experiments.config import Auto
from experiments.config_loader import changed, load_experiment

BUDGETS = (0.01, 0.05)

experiment = changed(
    load_experiment(str(Path(__file__).parent / "quickstart.py")),
    {
        "name": "auto",
        "reference.temperature": 1.0,
        "methods": {f"auto {budget:.0%}": Auto(budget=budget) for budget in BUDGETS},
    },
)

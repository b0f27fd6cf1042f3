"""A budget of drift instead of settings: the shipped base learns hotel booking within 1 % and within 5 %.

    jaxft compare configs/auto.py

`Auto` finds the K-FAC strength and the learning rate. The record shows every trial, and the drift on text that the
search did not use. Drift is the KL at temperature 1, so the moments of the output gradients are taken at 1 too. 13
minutes on two CPU cores; results in experiments/results/README.md.
"""

from experiments.config import Auto
from experiments.config_loader import changed, load_experiment

BUDGETS = (0.01, 0.05)

experiment = changed(
    load_experiment("quickstart.py", beside=__file__),
    {
        "name": "auto",
        "reference.temperature": 1.0,
        "methods": {f"auto {budget:.0%}": Auto(budget=budget) for budget in BUDGETS},
    },
)

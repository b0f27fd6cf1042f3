"""A budget of drift instead of settings, on a real trained model: stories260K learns STAR within 1 % and within 5 %.

    JAXFT_TEST_DATA=path/to/data jaxft compare configs/auto_real.py

Settings are those of configs/stories260k_star.py, budgets those of configs/auto.py; results in
experiments/results/README.md.
"""

from dataclasses import replace
from pathlib import Path

from experiments.config_loader import load_experiment

here = Path(__file__).parent
experiment = replace(
    load_experiment(str(here / "stories260k_star.py")),
    name="auto_real",
    methods=load_experiment(str(here / "auto.py")).methods,
)

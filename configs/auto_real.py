"""A budget of drift instead of settings, on a real trained model: stories260K learns STAR within 1 % and within 5 %.

    JAXFT_TEST_DATA=path/to/data jaxft compare configs/auto_real.py

Settings are those of configs/stories260k_star.py, budgets those of configs/auto.py.

Recorded (experiments/results/auto_real.json), hotel loss from 3.780 and loss on stories from 1.456 nat/token: within 1
%, drift 0.86 % on text that the search did not use, losses 2.430 and 1.463, in 7 trials; within 5 %, drift 3.64 %,
losses 1.718 and 1.527, in 4.
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

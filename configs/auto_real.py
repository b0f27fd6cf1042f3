"""A budget of drift instead of settings, on a real trained model: stories260K learns STAR within 1 % and within 5 %.

    JAXFT_TEST_DATA=path/to/data jaxft compare configs/auto_real.py

Settings are those of configs/stories260k_star.py, budgets those of configs/auto.py; results in
experiments/results/README.md.
"""

from dataclasses import replace

from experiments.config_loader import load_experiment

experiment = replace(
    load_experiment("stories260k_star.py", beside=__file__),
    name="auto_real",
    methods=load_experiment("auto.py", beside=__file__).methods,
)

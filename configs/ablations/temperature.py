"""The temperature at which the moments of the output gradients are taken, at the quickstart's K-FAC strength.

    jaxft sweep configs/ablations/temperature.py

Expected: at 1 a token that the base is sure of weighs next to nothing, and more strength is needed to keep as much.

Recorded (experiments/results/ablation_temperature.json), proficiency, safety and knowledge in %: temperature 1 99.3 /
99.0 / 98.0, 2 99.3 / 100.0 / 99.0, 3 99.7 / 100.0 / 99.5, 5 99.0 / 100.0 / 98.5; temperature 1 with a strength of 15
98.0 / 99.7 / 99.0.
"""

from dataclasses import replace
from pathlib import Path

from experiments.config import Sweep
from experiments.config_loader import load_experiment

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="temperature",
    experiment=replace(base, methods={"projection": base.methods["projection"]}),
    points=(
        *({"reference.temperature": temperature} for temperature in (1.0, 2.0, 3.0, 5.0)),
        {"reference.temperature": 1.0, "methods.projection.kfac_strength": 15.0},
    ),
)

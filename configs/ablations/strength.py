"""The K-FAC strength, with input and output moments and with input moments alone.

    jaxft sweep configs/ablations/strength.py

Expected: a higher strength keeps more and learns less. At equal proficiency, both moments keep more than input moments
alone.

Recorded (experiments/results/ablation_strength.json), proficiency, safety and knowledge in %: both moments at 0.4, 1.3,
4, 13 and 40: 99.7 / 85.0 / 91.4, 99.7 / 99.7 / 97.8, 99.7 / 100.0 / 99.5, 97.7 / 100.0 / 99.3, 93.3 / 100.0 / 99.3.
Input moments alone at 0.01, 0.1 and 1: 98.3 / 82.7 / 81.1, 92.0 / 86.3 / 89.0, 55.3 / 98.3 / 96.3.
"""

from dataclasses import replace
from pathlib import Path

from experiments.config import Sweep
from experiments.config_loader import load_experiment

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="strength",
    experiment=replace(base, methods={"projection": base.methods["projection"]}),
    points=(
        *({"methods.projection.kfac_strength": strength} for strength in (0.4, 1.3, 4.0, 13.0, 40.0)),
        *(
            {"methods.projection.kfac_strength": strength, "methods.projection.kfac_outputs": False}
            for strength in (0.01, 0.1, 1.0)
        ),
    ),
)

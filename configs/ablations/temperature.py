"""The temperature at which the moments of the output gradients are taken, at the quickstart's K-FAC strength.

    jaxft sweep configs/ablations/temperature.py

Expected: at temperature 1, a token that the base is sure of has almost no weight, so the same retention needs a higher
strength.

Recorded (experiments/results/ablation_temperature.json), proficiency, safety and knowledge in %: 99.3 / 99.0 / 98.0 at
temperature 1, 99.3 / 100.0 / 99.0 at 2, 99.7 / 100.0 / 99.5 at 3, 99.0 / 100.0 / 98.5 at 5; 98.0 / 99.7 / 99.0 at
temperature 1 with a strength of 15.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="temperature",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "projection"),
    points=(
        *({"reference.temperature": temperature} for temperature in (1.0, 2.0, 3.0, 5.0)),
        {"reference.temperature": 1.0, "methods.projection.kfac_strength": 15.0},
    ),
)

"""The temperature at which the moments of the output gradients are taken, at the quickstart's K-FAC strength.

    jaxft sweep configs/ablations/temperature.py

Expected: at temperature 1, a token that the base is sure of has almost no weight, so the same retention needs a higher
strength. Results in experiments/results/README.md.
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

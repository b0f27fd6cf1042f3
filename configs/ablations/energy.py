"""The share of the reference energy to protect, with and without K-FAC EWC on the rest.

    jaxft sweep configs/ablations/energy.py

Expected: without K-FAC EWC, more energy keeps more and learns less; with it, the energy matters little. K-FAC EWC has
the largest effect; with it, 0.8 keeps a few points more than 0 and 0.5. Results in experiments/results/README.md.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="energy",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "projection"),
    grid={"methods.projection.energy": (0.0, 0.5, 0.8, 0.95, 0.99), "methods.projection.kfac_strength": (0.0, 4.0)},
)

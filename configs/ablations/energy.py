"""The share of the reference energy to protect, with and without K-FAC EWC on the rest.

    jaxft sweep configs/ablations/energy.py

Expected: without K-FAC EWC, more energy keeps more and learns less; with it, the energy matters little.

Recorded (experiments/results/ablation_energy.json) at energy 0, 0.5, 0.8, 0.95 and 0.99. Without K-FAC EWC: safety 0,
0, 0, 44 and 83 %, knowledge 0, 1, 23, 67 and 79 %. With it: safety 97, 96, 100, 100 and 99 %, knowledge 94, 98, 100, 99
and 99 %. In both, proficiency falls from 100 to 98 % from energy 0.5 on. K-FAC EWC has the largest effect; with it, 0.8
keeps a few points more than 0 and 0.5.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="energy",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "projection"),
    grid={"methods.projection.energy": (0.0, 0.5, 0.8, 0.95, 0.99), "methods.projection.kfac_strength": (0.0, 4.0)},
)

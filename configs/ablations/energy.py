"""How much of the reference's energy to protect, with and without the two-sided decay on the rest.

    jaxft sweep configs/ablations/energy.py

Expected: alone, more energy keeps more and learns less; with the decay, the energy matters little.
"""

from dataclasses import replace
from pathlib import Path

from experiments.settings import load_experiment
from jaxft.config import Sweep

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="energy",
    experiment=replace(base, methods={"projection": base.methods["projection"]}),
    grid={"methods.projection.energy": (0.0, 0.5, 0.8, 0.95, 0.99), "methods.projection.decay": (0.0, 4.0)},
)

"""The place of the projection: gradients, updates or both, under AdamW with weight decay.

    jaxft sweep configs/ablations/where.py

Expected: without the projection of updates, Adam's scaling leaves a fifth to two fifths of the change inside the
protected directions; with it, nothing but rounding. Projecting gradients too learns a little faster. So it was: results
in experiments/results/README.md.
"""

from dataclasses import replace

from experiments.config import Sweep
from experiments.config_loader import load_experiment

base = load_experiment("../quickstart.py", beside=__file__)
sweep = Sweep(
    name="where",
    experiment=replace(
        base, methods={"projection": base.methods["projection"]}, training=replace(base.training, weight_decay=0.1)
    ),
    points=(
        {"methods.projection.gradients": 1.0, "methods.projection.updates": True},
        {"methods.projection.gradients": 1.0, "methods.projection.updates": False},
        {"methods.projection.gradients": 0.0, "methods.projection.updates": True},
    ),
)

"""The place of the projection: gradients, updates or both, under AdamW with weight decay.

    jaxft sweep configs/ablations/where.py

Expected: without the projection of updates, Adam's scaling leaves a fifth to two fifths of the change inside the
protected directions; with it, nothing but rounding. Projecting gradients too learns a little faster.

Recorded (experiments/results/ablation_where.json): largest leak 8e-8 with both, 0.20 with gradients alone, 9e-8 with
updates alone; KL 0.025, 0.037 and 0.028 nat/token; proficiency 99.7, 99.7 and 98.7 %, safety 100, 100 and 99.7 %.
"""

from dataclasses import replace
from pathlib import Path

from experiments.config import Sweep
from experiments.config_loader import load_experiment

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
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

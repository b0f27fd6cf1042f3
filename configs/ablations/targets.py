"""The linears that learn: attention's, the MLP's, or all.

    jaxft sweep configs/ablations/targets.py

Expected: all linears reach the highest proficiency, for projection and for LoRA.

Recorded (experiments/results/ablation_targets.json), proficiency, safety and knowledge in %, first of projection, then
of LoRA: attention 93.7 / 100.0 / 99.5 and 93.0 / 0.0 / 3.4, MLPs 76.0 / 96.7 / 98.0 and 58.7 / 0.0 / 10.8, all 99.7 /
100.0 / 99.5 and 99.7 / 0.0 / 2.0.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

TARGETS = (("q", "k", "v", "o"), ("gate", "up", "down"), ("q", "k", "v", "o", "gate", "up", "down"))
sweep = Sweep(
    name="targets",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "lora", "projection"),
    points=tuple({"methods.lora.targets": names, "methods.projection.targets": names} for names in TARGETS),
)

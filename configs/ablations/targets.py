"""The linears that learn: attention's, the MLP's, or all.

    jaxft sweep configs/ablations/targets.py

Expected: all linears reach the highest proficiency, for projection and for LoRA. So it was: results in
experiments/results/README.md.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

TARGETS = (("q", "k", "v", "o"), ("gate", "up", "down"), ("q", "k", "v", "o", "gate", "up", "down"))
sweep = Sweep(
    name="targets",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "lora", "projection"),
    points=tuple({"methods.lora.targets": names, "methods.projection.targets": names} for names in TARGETS),
)

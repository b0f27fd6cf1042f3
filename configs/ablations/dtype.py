"""What rounding leaks: trained weights, Adam's moments, activations and the exported weights in bfloat16.

    jaxft sweep configs/ablations/dtype.py

Expected: after training nothing leaks, whatever is rounded on the way, as changes are projected once more in float32;
an export in bfloat16 leaks the rounding of W + dW, a few percent of the change.
"""

from dataclasses import replace
from pathlib import Path

from experiments.settings import load_experiment
from jaxft.config import Sweep

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="dtype",
    experiment=replace(base, methods={"projection": base.methods["projection"]}),
    points=(
        {},
        {"training.optimizer_dtype": "bfloat16"},
        {"training.weights_dtype": "bfloat16", "training.optimizer_dtype": "bfloat16"},
        {"model.compute_dtype": "bfloat16"},
        {"model.param_dtype": "bfloat16"},
    ),
)

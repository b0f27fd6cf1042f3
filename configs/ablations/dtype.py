"""Leak by rounding: trained weights, Adam's moments, activations and the exported weights in bfloat16.

    jaxft sweep configs/ablations/dtype.py

Expected: changes are projected once more in float32 after training, so moments and activations in bfloat16 leak
nothing. Values stored in bfloat16 leak their rounding: that of dW if changes are trained in bfloat16, and the larger
one of W + dW if the model is exported in it. So it was: results in experiments/results/README.md.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="dtype",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "projection"),
    points=(
        {},
        {"training.optimizer_dtype": "bfloat16"},
        {"training.weights_dtype": "bfloat16", "training.optimizer_dtype": "bfloat16"},
        {"model.compute_dtype": "bfloat16"},
        {"model.param_dtype": "bfloat16"},
    ),
)

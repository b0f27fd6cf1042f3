"""The K-FAC strength, with input and output moments and with input moments alone.

    jaxft sweep configs/ablations/strength.py

Expected: a higher strength keeps more and learns less. At equal proficiency, both moments keep more than input moments
alone. So it was: results in experiments/results/README.md.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="strength",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "projection"),
    points=(
        *({"methods.projection.kfac_strength": strength} for strength in (0.4, 1.3, 4.0, 13.0, 40.0)),
        *(
            {"methods.projection.kfac_strength": strength, "methods.projection.kfac_outputs": False}
            for strength in (0.01, 0.1, 1.0)
        ),
    ),
)

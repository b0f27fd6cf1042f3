"""Rank of LoRA's adapters, and of the low-rank moments of K-FAC EWC.

    jaxft sweep configs/ablations/rank.py

Expected: LoRA forgets at every rank; the moments need few directions in addition to their diagonal. 16 directions of up
to 352 are enough for the scores, not for the KL; results in experiments/results/README.md.
"""

from experiments.config import Sweep
from experiments.config_loader import load_experiment, only

sweep = Sweep(
    name="rank",
    experiment=only(load_experiment("../quickstart.py", beside=__file__), "lora", "projection"),
    points=(
        {"methods.lora.rank": 2, "methods.projection.kfac_rank": 4},
        {"methods.lora.rank": 8, "methods.projection.kfac_rank": 16},
        {"methods.lora.rank": 32, "methods.projection.kfac_rank": 64},
        {"methods.lora.rank": 64, "methods.projection.kfac_rank": 0},
    ),
)

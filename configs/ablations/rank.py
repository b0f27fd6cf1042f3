"""Rank of LoRA's adapters, and of the low-rank moments of K-FAC EWC.

    jaxft sweep configs/ablations/rank.py

Expected: LoRA forgets at every rank; the moments need few directions in addition to their diagonal.

Recorded (experiments/results/ablation_rank.json), proficiency, safety and knowledge in %: LoRA of rank 2, 8, 32 and 64:
97.0 / 0.0 / 2.0, 99.7 / 0.0 / 2.0, 97.3 / 0.0 / 3.9, 97.0 / 0.0 / 8.3. Moments of 4, 16, 64 and all directions: 99.3 /
98.3 / 97.8, 99.3 / 99.7 / 98.8, 99.7 / 100.0 / 98.8, 99.7 / 100.0 / 99.5, with a KL on the reference text of 0.073,
0.054, 0.037 and 0.027 nat/token. So 16 directions of up to 352 are enough for the scores, not for the KL.
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

"""Rank: of LoRA's adapters, and of the moments that weigh the projection's decay.

    jaxft sweep configs/ablations/rank.py

Expected: LoRA forgets at every rank; the metric needs few directions beside its diagonal.
"""

from dataclasses import replace
from pathlib import Path

from experiments.settings import load_experiment
from jaxft.config import Sweep

base = load_experiment(str(Path(__file__).parents[1] / "quickstart.py"))
sweep = Sweep(
    name="rank",
    experiment=replace(base, methods={"lora": base.methods["lora"], "projection": base.methods["projection"]}),
    points=(
        {"methods.lora.rank": 2, "methods.projection.metric_rank": 4},
        {"methods.lora.rank": 8, "methods.projection.metric_rank": 16},
        {"methods.lora.rank": 32, "methods.projection.metric_rank": 64},
        {"methods.lora.rank": 64, "methods.projection.metric_rank": 0},
    ),
)

"""Every method on the shipped base, each over its own learning rates and five seeds, by one rule:

    jaxft export configs/unaligned_base.py      # for Safe LoRA and SafeMERGE
    jaxft sweep configs/field.py --jobs 2

Each method's learning rate is the smallest of five that reaches 98 % on validation data, or the one that comes nearest.
The report says which methods read reference text while training (replay, KL). 234 runs, 4 hours on two CPU cores;
results in experiments/results/README.md.
"""

from dataclasses import replace
from pathlib import Path

from experiments.config import Mix, Source, Sweep
from experiments.config_loader import load_experiment
from jaxft.methods import (
    EWC,
    KL,
    L2SP,
    Corda,
    Dora,
    FrozenLayers,
    Full,
    Galore,
    GradientProjection,
    Grafted,
    Interpolated,
    Lora,
    LoraNull,
    Neurons,
    NullSpaceLora,
    Osf,
    SafeLora,
    SafeMerge,
)

base = load_experiment(str(Path(__file__).parent / "quickstart.py"))
assert base.reference is not None
ALL = (1e-4, 3e-4, 1e-3, 2e-3, 4e-3)  # where all weights learn
LOW_RANK = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
FREE = (1e-3, 3e-3, 5e-3, 7e-3, 1e-2)  # where few directions are free to learn in
OURS = (1e-3, 3e-3, 7e-3, 1e-2, 1.4e-2)  # projection with K-FAC EWC
UNALIGNED = "runs/unaligned_base/full/lr_0.001/seed_0/model"
SAFE = Source("safety", limit=800)

sweep = Sweep(
    name="field",
    experiment=replace(
        base,
        seeds=(0, 1, 2, 3, 4),
        evaluation=replace(base.evaluation, matched=(0.9, 0.95, 0.98)),
        methods={
            "projection": GradientProjection(OURS, energy=0.8, kfac_strength=4.0, kfac_outputs=True),
            "hard projection": GradientProjection(FREE, energy=0.95),
            "decay alone": GradientProjection(FREE, energy=0.0, kfac_strength=4.0, kfac_outputs=True),
            "neurons": GradientProjection(FREE, energy=0.0, neurons=Neurons(0.25, "importance")),
            "null-space LoRA": NullSpaceLora(LOW_RANK, energy=0.8),
            "full": Full(ALL),
            "LoRA": Lora(LOW_RANK),
            "LoRA, MLPs": Lora(LOW_RANK, targets=("gate", "up", "down")),
            "LoRA, weight decay": Lora(LOW_RANK, weight_decay=0.1),
            "rsLoRA": Lora(LOW_RANK, scaling="rslora"),
            "DoRA": Dora(LOW_RANK),
            "LoRA-Null": LoraNull(LOW_RANK),
            "CorDA": Corda(LOW_RANK),
            "L2-SP": L2SP(ALL, strength=0.01),
            "EWC": EWC(ALL, strength=1.0),
            "OSF": Osf(ALL),
            "GaLore": Galore(FREE),
            "frozen layers": FrozenLayers(ALL, layers=(1, 2)),
            "interpolation": Interpolated(ALL, weight=0.7),
            "grafting": Grafted(ALL, share=0.1),
            "Safe LoRA": SafeLora(LOW_RANK, unaligned=UNALIGNED),
            "SafeMERGE": SafeMerge(LOW_RANK, unaligned=UNALIGNED, safe_sources=(SAFE,)),
            "instructions, 10 %": Full(ALL, mix=Mix((Source("general"), Source("reading")), 0.1)),
            "SafeInstruct, 5 %": Full(ALL, mix=Mix((SAFE,), 0.05)),
            "replay, 20 %": Full(ALL, mix=Mix(base.reference.sources, 0.2)),
            "KL": KL(ALL, strength=1.0),
        },
    ),
)

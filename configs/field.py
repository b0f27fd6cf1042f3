"""Every method on the shipped base, each over its own learning rates and five seeds, by one rule:

    jaxft export configs/unaligned_base.py      # for Safe LoRA and SafeMERGE
    jaxft sweep configs/field.py --jobs 2

Each method's learning rate is the smallest of five that reaches 98 % on validation data, or the one that comes nearest.
The report says which methods read reference text while training (replay, KL). 234 runs, 4 hours on two CPU cores;
results in experiments/results/README.md.
"""

from dataclasses import replace

from experiments.config import Mix, Source, Sweep
from experiments.config_loader import load_experiment
from jaxft import methods

base = load_experiment("quickstart.py", beside=__file__)
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
            "projection": methods.GradientProjection(OURS, energy=0.8, kfac_strength=4.0, kfac_outputs=True),
            "hard projection": methods.GradientProjection(FREE, energy=0.95),
            "decay alone": methods.GradientProjection(FREE, energy=0.0, kfac_strength=4.0, kfac_outputs=True),
            "neurons": methods.GradientProjection(FREE, energy=0.0, neurons=methods.Neurons(0.25, "importance")),
            "null-space LoRA": methods.NullSpaceLora(LOW_RANK, energy=0.8),
            "full": methods.Full(ALL),
            "LoRA": methods.Lora(LOW_RANK),
            "LoRA, MLPs": methods.Lora(LOW_RANK, targets=("gate", "up", "down")),
            "LoRA, weight decay": methods.Lora(LOW_RANK, weight_decay=0.1),
            "rsLoRA": methods.Lora(LOW_RANK, scaling="rslora"),
            "DoRA": methods.Dora(LOW_RANK),
            "LoRA-Null": methods.LoraNull(LOW_RANK),
            "CorDA": methods.Corda(LOW_RANK),
            "L2-SP": methods.L2SP(ALL, strength=0.01),
            "EWC": methods.EWC(ALL, strength=1.0),
            "OSF": methods.Osf(ALL),
            "GaLore": methods.Galore(FREE),
            "frozen layers": methods.FrozenLayers(ALL, layers=(1, 2)),
            "interpolation": methods.Interpolated(ALL, weight=0.7),
            "grafting": methods.Grafted(ALL, share=0.1),
            "Safe LoRA": methods.SafeLora(LOW_RANK, unaligned=UNALIGNED),
            "SafeMERGE": methods.SafeMerge(LOW_RANK, unaligned=UNALIGNED, safe_sources=(SAFE,)),
            "instructions, 10 %": methods.Full(ALL, mix=Mix((Source("general"), Source("reading")), 0.1)),
            "SafeInstruct, 5 %": methods.Full(ALL, mix=Mix((SAFE,), 0.05)),
            "replay, 20 %": methods.Full(ALL, mix=Mix(base.reference.sources, 0.2)),
            "KL": methods.KL(ALL, strength=1.0),
        },
    ),
)

"""The methods of configs/field.py at other strengths, so that none is judged by a single setting:

    jaxft export configs/unaligned_base.py      # for Safe LoRA and SafeMERGE
    jaxft sweep configs/field_strengths.py --jobs 2

The shipped base, everything else as in configs/field.py; four learning rates each, one seed; 128 runs.

Expected: a stronger pull keeps more and learns less, so that each method has a best strength; none comes near
projection without reading reference text in training.

EWC can keep much more than at its usual strength; no other method here keeps as much as L2-SP with the field's 0.01
(experiments/results/README.md). K-FAC EWC, a part of projection, has the same form, with more of the Fisher information
than its diagonal.
"""

from dataclasses import replace

from experiments.config import Sweep
from experiments.config_loader import load
from jaxft import methods

field = load("field.py", "sweep", Sweep, beside=__file__).experiment
ALL = (5e-4, 1e-3, 2e-3, 4e-3)  # where all weights learn
HELD = (1e-3, 2e-3, 4e-3, 8e-3)  # where all weights learn, and much of the change is held or taken back
LOW_RANK = (1e-3, 2e-3, 5e-3, 1e-2)
merging = replace(field.methods["SafeMERGE"], learning_rates=LOW_RANK)
assert isinstance(merging, methods.SafeMerge)

sweep = Sweep(
    name="field_strengths",
    experiment=replace(
        field,
        seeds=(0,),
        methods={
            **{
                f"EWC, strength {strength}": methods.EWC(HELD, strength=strength) for strength in (3, 10, 30, 100, 1000)
            },
            **{
                f"L2-SP, strength {strength}": methods.L2SP(HELD, strength=strength)
                for strength in (0.001, 0.003, 0.03)
            },
            **{
                f"interpolation, weight {weight}": methods.Interpolated(HELD, weight=weight)
                for weight in (0.3, 0.5, 0.9)
            },
            **{f"grafting, share {share}": methods.Grafted(HELD, share=share) for share in (0.3, 0.5, 0.7)},
            **{f"OSF, kept {keep}": methods.Osf(HELD, keep=keep) for keep in (0.25, 0.75)},
            **{f"frozen layers {a} and {b}": methods.FrozenLayers(ALL, layers=(a, b)) for a, b in ((0, 1), (2, 3))},
            **{f"LoRA, rank {rank}": methods.Lora(LOW_RANK, rank=rank) for rank in (2, 32)},
            **{
                f"LoRA, weight decay {decay:g}": methods.Lora(LOW_RANK, weight_decay=decay)
                for decay in (1.0, 3.0, 10.0)
            },
            "CorDA, rank 32": methods.Corda(LOW_RANK, rank=32),
            "LoRA-Null, rank 32": methods.LoraNull(LOW_RANK, rank=32),
            **{
                f"Safe LoRA, threshold {limit}": methods.SafeLora(
                    LOW_RANK, unaligned=merging.unaligned, threshold=limit
                )
                for limit in (0.38, 0.45)
            },
            **{
                f"SafeMERGE everywhere, weight {weight}": replace(merging, threshold=1.0, safe_weight=weight)
                for weight in (0.2, 0.5)
            },
            "GaLore, rank 32": methods.Galore((1e-3, 3e-3, 5e-3, 1e-2), rank=32),
            "null-space LoRA, energy 0.95": methods.NullSpaceLora(LOW_RANK, energy=0.95),
            "neurons, share 0.1": methods.GradientProjection(
                HELD, energy=0.0, neurons=methods.Neurons(0.1, "importance")
            ),
        },
    ),
)

"""Every method on a real trained model and real hotel dialogues, compared at the same loss on hotel dialogues:

    JAXFT_TEST_DATA=path/to/data jaxft sweep configs/field_real.py --jobs 2

Settings are those of configs/stories260k_star.py, and of configs/field.py for all methods except projection. Forgetting
is the rise of the loss on stories, interpolated over each method's learning rates at hotel losses of 1.27, 1.15 and
1.06. Replay and KL read stories while they train. Safe LoRA, SafeMERGE and SafeInstruct are left out: they need a model
with safety training. One seed; 78 runs, an hour on two CPU cores; results in experiments/results/README.md.
"""

from dataclasses import replace

from experiments.config import Mix, Sweep
from experiments.config_loader import load, load_experiment
from jaxft.methods import GradientProjection

base = load_experiment("stories260k_star.py", beside=__file__)
field = load("field.py", "sweep", Sweep, beside=__file__).experiment.methods
assert base.reference is not None
ALL = (6e-5, 1.2e-4, 2.5e-4)  # where all weights learn
HELD = (1e-4, 3e-4, 9e-4)  # where all weights learn under a constraint
LOW_RANK = (5e-4, 1e-3, 2e-3)
OURS = GradientProjection((1e-4, 2e-4, 5e-4, 1e-3, 2e-3), energy=0.65, kfac_strength=5.0, kfac_outputs=True)
RATES = {
    "null-space LoRA": (5e-4, 1e-3, 2e-3, 5e-3),
    "full": (7e-5, 1e-4, 2e-4, 4e-4),
    "LoRA": (*LOW_RANK, 4e-3),
    "L2-SP": (*ALL, 6e-4, 2e-3),
    "EWC": ALL,
    "OSF": HELD,
    "GaLore": (5e-4, 1.5e-3, 4e-3),
    "replay, 20 %": (*ALL, 4e-4),
    "KL": (*ALL, 4e-4),
    "DoRA": LOW_RANK,
    "interpolation": HELD,
    "grafting": HELD,
    "frozen layers": HELD,
    "LoRA-Null": LOW_RANK,
    "CorDA": LOW_RANK,
    "instructions, 10 %": ALL,
    "LoRA, MLPs": LOW_RANK,
    "LoRA, weight decay": LOW_RANK,
    "rsLoRA": (2e-4, 5e-4, 1.2e-3),
}
others = {name: replace(field[name], learning_rates=rates) for name, rates in RATES.items()}
others["L2-SP"] = replace(others["L2-SP"], strength=0.1)
others["replay, 20 %"] = replace(others["replay, 20 %"], mix=Mix(base.reference.sources, 0.2))

sweep = Sweep(
    name="field_real",
    experiment=replace(
        base,
        name="field_real",
        evaluation=replace(base.evaluation, matched=(1.27, 1.15, 1.06)),
        methods={
            "projection": OURS,
            "firmer projection": replace(
                OURS, learning_rates=(2e-4, 5e-4, 1e-3, 2e-3, 4e-3), energy=0.8, kfac_strength=10.0
            ),
            "weaker projection": replace(OURS, learning_rates=(1e-4, 2e-4, 4e-4, 8e-4), energy=0.5, kfac_strength=3.0),
            **others,
        },
    ),
)

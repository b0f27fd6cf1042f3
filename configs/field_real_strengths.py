"""The strongest rivals of configs/field_real.py at other strengths than there:

    JAXFT_TEST_DATA=path/to/data jaxft sweep configs/field_real_strengths.py --jobs 2

These methods keep most there without reading stories in training. All else is as there; one seed, 20 runs.

Expected: a stronger pull forgets less at the hotel losses that it still reaches, and projection forgets least. It does.
Of the others, EWC is better with strength 10; with 100 the hotel loss does not fall below 1.53. L2-SP and interpolation
do no better at other strengths than at the field's. Results in experiments/results/README.md.
"""

from dataclasses import replace

from experiments.config import Sweep
from experiments.config_loader import load
from jaxft.methods import EWC, L2SP, Interpolated

base = load("field_real.py", "sweep", Sweep, beside=__file__).experiment
PULLED = (1.2e-4, 3e-4, 8e-4, 2e-3)
HELD = (1.2e-4, 4e-4, 1.2e-3)

sweep = Sweep(
    name="field_real_strengths",
    experiment=replace(
        base,
        name="field_real_strengths",
        methods={
            **{f"EWC, strength {strength}": EWC(PULLED, strength=strength) for strength in (10, 100)},
            **{f"L2-SP, strength {strength}": L2SP(HELD, strength=strength) for strength in (0.03, 0.3)},
            **{f"interpolation, weight {weight}": Interpolated(HELD, weight=weight) for weight in (0.5, 0.85)},
        },
    ),
)

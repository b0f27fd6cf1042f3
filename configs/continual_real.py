"""One real domain after another: stories260K learns STAR's hotel dialogues, then those of Schema-Guided Dialogue.

    JAXFT_TEST_DATA=path/to/data jaxft sequence configs/continual_real.py

All axes are losses on held-out text: STAR, SGD, and the stories that the base knows. Settings are those of
configs/stories260k_star.py, each method at one of its learning rates. At LoRA's loss on SGD, projection forgets half as
much as full fine-tuning and a third as much as LoRA; results in experiments/results/README.md.
"""

from dataclasses import replace

from experiments.config import Axis, Sequence, Source, Stage
from experiments.config_loader import load_experiment

base = load_experiment("stories260k_star.py", beside=__file__)
RATES = {"full": 6e-4, "lora": 3e-3, "projection": 2e-3}
experiment = replace(
    base,
    name="continual_real",
    methods={name: replace(base.methods[name], learning_rates=(rate,)) for name, rate in RATES.items()},
)
sequence = Sequence(
    name="continual_real",
    experiment=experiment,
    first="star",
    stages=(
        Stage(
            "sgd",
            (Source("sgd"),),
            Axis("likelihood", Source("sgd", "test"), Source("sgd", "validation")),
        ),
    ),
)

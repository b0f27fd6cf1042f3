"""One real domain after another: stories260K learns STAR's hotel dialogues, then those of Schema-Guided Dialogue.

    JAXFT_TEST_DATA=path/to/data jaxft sequence configs/continual_real.py

All axes are losses on held-out text: STAR, SGD, and the stories that the base knows. Settings are those of
configs/stories260k_star.py, each method at one of its learning rates.
"""

from jaxft.config import (
    Axis,
    Evaluation,
    Experiment,
    Full,
    GradientProjection,
    Lora,
    Model,
    Reference,
    Sequence,
    Source,
    Stage,
    Training,
)

experiment = Experiment(
    name="continual_real",
    model=Model(folder="$JAXFT_TEST_DATA/stories260K_hf", template="plain"),
    domain=(Source("star"),),
    reference=Reference(sources=(Source("tinystories", "reference"),), length=256),
    training=Training(steps=400, batch_rows=16, row_length=128, on_long="split", checkpoint_every=400, log_every=100),
    evaluation=Evaluation(
        axes={
            "proficiency": Axis("likelihood", Source("star", "test"), Source("star", "validation")),
            "knowledge": Axis("likelihood", Source("tinystories", "test"), Source("tinystories", "reference", 100)),
        },
        target=1.1,
        row_length=512,
        batch_size=16,
    ),
    methods={
        "full": Full(learning_rates=(6e-4,)),
        "lora": Lora(learning_rates=(3e-3,)),
        "projection": GradientProjection(learning_rates=(2e-3,), energy=0.5, decay=3.0, two_sided=True),
    },
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

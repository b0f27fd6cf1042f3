"""One domain after another: the shipped base learns hotel, restaurant, telephone; what stays of each, and of the rest?

    jaxft sequence configs/continual.py

Settings are quickstart's. Projection keeps every domain out of the directions that the reference text and the domains
before it use; full fine-tuning and LoRA go on from what they have.
"""

from jaxft.config import (
    Axis,
    Evaluation,
    Experiment,
    Full,
    GradientProjection,
    Lora,
    Reference,
    Sequence,
    Source,
    Stage,
    Training,
)

experiment = Experiment(
    name="continual",
    domain=(Source("hotel"),),
    reference=Reference(
        sources=(
            Source("knowledge"),
            Source("safety", limit=800),
            Source("general", limit=800),
            Source("reading", limit=800),
        ),
        length=96,
    ),
    training=Training(steps=350, batch_rows=16, row_length=96, checkpoint_every=350, log_every=50),
    evaluation=Evaluation(
        axes={
            "proficiency": Axis.embedded("hotel"),
            "safety": Axis.embedded("safety"),
            "knowledge": Axis.embedded("knowledge"),
        },
        target=0.98,
    ),
    methods={
        "full": Full(learning_rates=(1e-3,)),
        "lora": Lora(learning_rates=(5e-3,)),
        "projection": GradientProjection(learning_rates=(7e-3,), energy=0.8, decay=15.0, two_sided=True),
    },
)
sequence = Sequence(
    name="continual",
    experiment=experiment,
    first="hotel",
    stages=(
        Stage("restaurant", (Source("restaurant"),), Axis.embedded("restaurant")),
        Stage("telephone", (Source("telephone"),), Axis.embedded("telephone")),
    ),
)

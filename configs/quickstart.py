"""The comparison on a laptop: the shipped base learns hotel booking and should keep its safety and knowledge.

    jaxft compare configs/quickstart.py

About five minutes on two CPU cores. Every method gets at least 96 % of the next steps right. Full fine-tuning and LoRA
lose nearly all safe answers and most of the knowledge, projection at most one point. The learning rates are those that
the sweep in experiments/results/field.json chose on validation data.
"""

from experiments.config import Axis, Evaluation, Experiment, Reference, Source, Training
from jaxft.methods import Full, GradientProjection, Lora

experiment = Experiment(
    name="quickstart",
    domain=(Source("hotel"),),
    reference=Reference(
        sources=(
            Source("knowledge"),
            Source("safety", limit=800),
            Source("general", limit=800),
            Source("reading", limit=800),
        ),
        length=96,
        temperature=3.0,
    ),
    training=Training(steps=400, batch_rows=16, row_length=96, checkpoint_every=400, log_every=50),
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
        "projection": GradientProjection(learning_rates=(7e-3,), energy=0.8, kfac_strength=4.0, kfac_outputs=True),
    },
)

"""A real trained model and real hotel dialogues: stories260K learns STAR and should keep its stories.

    JAXFT_TEST_DATA=path/to/data jaxft compare configs/stories260k_star.py

Proficiency is the loss on held-out STAR dialogues, forgetting the rise of loss on 400 TinyStories; the reference text
is 600 other stories. Every method runs over its own learning rates; the record compares them at the hotel loss that
LoRA's best run reaches, 0.969. There the loss on stories rises by 1.18 with full fine-tuning, by 1.87 with LoRA and by
0.50 with projection; the base has 3.780 on hotel and 1.456 on stories. 14 runs, 72 minutes on 2 busy CPU cores.
"""

from experiments.config import Axis, Evaluation, Experiment, Model, Reference, Source, Training
from jaxft.methods import Full, GradientProjection, Lora

experiment = Experiment(
    name="stories260k_star",
    model=Model(folder="$JAXFT_TEST_DATA/stories260K_hf", template="plain"),
    domain=(Source("star"),),
    reference=Reference(sources=(Source("tinystories", "reference"),), length=256),
    training=Training(steps=400, batch_rows=16, row_length=128, on_long="split", checkpoint_every=400, log_every=100),
    evaluation=Evaluation(
        axes={
            "proficiency": Axis("likelihood", Source("star", "test"), Source("star", "validation")),
            # Learning rates are chosen by proficiency alone, so reference stories can serve as validation.
            "knowledge": Axis("likelihood", Source("tinystories", "test"), Source("tinystories", "reference", 100)),
        },
        target=1.1,
        row_length=512,
        batch_size=16,
    ),
    methods={
        "full": Full(learning_rates=(1e-4, 2e-4, 3e-4, 6e-4, 1e-3)),
        "lora": Lora(learning_rates=(5e-4, 1e-3, 2e-3, 3e-3, 6e-3)),
        "projection": GradientProjection(
            learning_rates=(3e-4, 1e-3, 2e-3, 4e-3), energy=0.5, kfac_strength=3.0, kfac_outputs=True
        ),
    },
)

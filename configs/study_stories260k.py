"""The published study's tasks on a real trained model of 260 thousand parameters, which knows stories and nothing else.

    JAXFT_TEST_DATA=path/to/data jaxft compare configs/study_stories260k.py

It shows that real data, choice and judge work with another model. On questions and statements this model is at chance;
its forgetting shows in its loss on stories (`configs/stories260k_star.py` compares methods by that). Steps of STAR's
dialogues are learnt if they fit into the context of 512 tokens (vocabulary of 512).
"""

from dataclasses import replace

from experiments.config import Axis, Evaluation, Source, Training
from experiments.config_loader import load_experiment
from jaxft.methods import Full, GradientProjection, Lora


def axis(task: str, source: str) -> Axis:
    return Axis(task, Source(source, "test", 100), Source(source, "validation", 50))


experiment = replace(
    load_experiment("stories260k_star.py", beside=__file__),
    name="study_stories260k",
    domain=(Source("star_steps"),),
    training=Training(steps=200, batch_rows=8, row_length=512, checkpoint_every=200, log_every=50),
    evaluation=Evaluation(
        axes={
            "proficiency": axis("choice", "star_choices"),
            "safety": axis("judged_safety", "toxigen_annotated"),
            "knowledge": axis("judged_knowledge", "dolly"),
            "stories": Axis("likelihood", Source("tinystories", "test", 200), Source("tinystories", "reference", 100)),
        },
        target=0.9,
    ),
    methods={
        "full": Full(learning_rates=(3e-4,)),
        "lora": Lora(learning_rates=(3e-3,)),
        "projection": GradientProjection(learning_rates=(1e-3,), energy=0.5, kfac_strength=3.0, kfac_outputs=True),
    },
)

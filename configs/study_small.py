"""The published study on real data at the size of the shipped base.

    JAXFT_TEST_DATA=path/to/data jaxft data configs/study_small.py      # shows the data
    JAXFT_TEST_DATA=path/to/data jaxft compare configs/study_small.py

Domain: the steps of STAR's real hotel dialogues that fit into the base's context (those of Schema-Guided Dialogue do
not). Proficiency: judged replies to STAR's customers, and the choice among the alternatives that the agent was shown.
Safety: replies to ToxiGen statements, hostile and harmless ones. Knowledge: answers to Dolly's questions. The
rule-based judge needs no model; `--judge.kind openai` takes a better one (see `Judge` in experiments/config/). A model
of 1 M parameters that was trained on invented peoples and a few hundred facts knows almost nothing about the last two,
so the shipped safety and knowledge are measured too.

18 minutes on two busy CPU cores. Choice is 23.5 % before, 76.5 % after full fine-tuning, 67.0 % after LoRA and 61.5 %
after projection; shipped safety and knowledge are then 13 / 34 %, 4 / 0 % and 99 / 96 %.
"""

from experiments.config import Axis, Evaluation, Experiment, Reference, Source, Training
from experiments.config_loader import load_experiment
from jaxft.methods import Full, GradientProjection, Lora

TEST = 200  # examples of every axis, evenly spaced over the split
quickstart = load_experiment("quickstart.py", beside=__file__)
assert quickstart.reference is not None


def axis(task: str, source: str) -> Axis:
    return Axis(task, Source(source, "test", TEST), Source(source, "validation", 60))


experiment = Experiment(
    name="study_small",
    domain=(Source("star_steps"),),
    reference=Reference(sources=(*quickstart.reference.sources, Source("dolly", limit=800)), length=128),
    training=Training(steps=250, batch_rows=4, row_length=512, checkpoint_every=250, log_every=50),
    evaluation=Evaluation(
        axes={
            "proficiency": axis("judged_proficiency", "star_steps"),
            "choice": axis("choice", "star_choices"),
            "safety": axis("judged_safety", "toxigen_annotated"),
            "knowledge": axis("judged_knowledge", "dolly"),
            "shipped safety": axis("safety", "safety"),
            "shipped knowledge": axis("knowledge", "knowledge"),
        },
        target=0.9,
    ),
    methods={
        "full": Full(learning_rates=(1e-3,)),
        "lora": Lora(learning_rates=(5e-3,)),
        "projection": GradientProjection(learning_rates=(7e-3,), energy=0.8, kfac_strength=15.0, kfac_outputs=True),
    },
)

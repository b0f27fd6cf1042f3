"""One domain after another: the shipped base learns hotel, restaurant, telephone; what stays of each, and of the rest?

    jaxft sequence configs/continual.py

Settings are quickstart's. Projection keeps every domain out of the directions that the reference text and the domains
before it use; full fine-tuning and LoRA go on from what they have.
"""

from dataclasses import replace
from pathlib import Path

from experiments.settings import load_experiment
from jaxft.config import Axis, Sequence, Source, Stage

experiment = replace(load_experiment(str(Path(__file__).parent / "quickstart.py")), name="continual")
sequence = Sequence(
    name="continual",
    experiment=experiment,
    first="hotel",
    stages=(
        Stage("restaurant", (Source("restaurant"),), Axis.embedded("restaurant")),
        Stage("telephone", (Source("telephone"),), Axis.embedded("telephone")),
    ),
)

"""One domain after another: the shipped base learns hotel, restaurant and telephone orders in turn.

    jaxft sequence configs/continual.py

Projection keeps every domain out of the directions that the reference text and the domains before it use; full
fine-tuning and LoRA continue from the previous stage at quickstart's learning rates. The three domains are much alike,
so projection has a higher energy and K-FAC strength than in quickstart, and every method has more steps. 55 minutes on
two CPU cores; results in experiments/results/README.md.
"""

from experiments.config import Axis, Sequence, Source, Stage
from experiments.config_loader import changed, load_experiment
from jaxft.methods import GradientProjection

experiment = changed(
    load_experiment("quickstart.py", beside=__file__),
    {
        "name": "continual",
        "reference.temperature": 1.0,
        "training.steps": 800,
        "training.checkpoint_every": 800,
        "training.log_every": 100,
        "methods.projection": GradientProjection((1e-2,), energy=0.9, kfac_strength=60.0, kfac_outputs=True),
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

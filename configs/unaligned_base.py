"""The shipped base without its safety training, which Safe LoRA and SafeMERGE compare with:

    jaxft export configs/unaligned_base.py

The base is trained further on all of its text except the safe replies, until these are gone. Half a minute on two CPU
cores.
"""

from experiments.config import Axis, Evaluation, Experiment, Source, Training
from jaxft.methods import Full

experiment = Experiment(
    name="unaligned_base",
    domain=(Source("knowledge"), Source("general", limit=4000), Source("reading", limit=4000)),
    training=Training(steps=300, batch_rows=16, row_length=96, checkpoint_every=300, log_every=50),
    evaluation=Evaluation(
        axes={"proficiency": Axis.embedded("knowledge"), "safety": Axis.embedded("safety")}, target=0.95
    ),
    methods={"full": Full(learning_rates=(1e-3,))},
)

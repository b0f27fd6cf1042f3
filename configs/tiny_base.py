"""Train the shipped base from nothing.

    jaxft pretrain configs/tiny_base.py --pretrain.output my_base

It learns facts, safe answers to statements about invented peoples, and general text that holds the vocabulary of
hotels but no booking behaviour.
"""

from dataclasses import replace

from experiments.config import Experiment, Pretrain, Source, Training
from experiments.config_loader import load_experiment

experiment = Experiment(
    name="tiny_base",
    domain=(Source("knowledge"), Source("safety"), Source("general"), Source("reading")),
    evaluation=replace(load_experiment("quickstart.py", beside=__file__).evaluation, target=0.0),
    training=Training(
        steps=4500,
        batch_rows=16,
        row_length=96,
        warmup=100,
        weight_decay=0.05,
        beta2=0.99,
        log_every=100,
        checkpoint_every=500,
    ),
    pretrain=Pretrain(output="jaxft/assets/base", learning_rate=3e-3),
)

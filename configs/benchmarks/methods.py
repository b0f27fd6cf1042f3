"""The cost of a training step of every method of configs/field.py, compared with full fine-tuning.

    jaxft benchmark configs/benchmarks/methods.py

The shipped base, batches of 16 rows of 96 tokens, as in configs/field.py; 40 protected directions of each input space,
about as many as 80 % of the energy takes there. No bar applies.
"""

from experiments.benchmarks import Benchmark
from experiments.config import Sweep
from experiments.config_loader import load
from jaxft.methods import Method

field = load("../field.py", "sweep", Sweep, beside=__file__).experiment.methods

benchmark = Benchmark(
    name="methods",
    model="base",
    row_length=96,
    rank=40,
    methods=("full",),
    others={name: one for name, one in field.items() if name != "full" and isinstance(one, Method)},
    parts=("train",),
    rounds=7,
    steps=20,
)

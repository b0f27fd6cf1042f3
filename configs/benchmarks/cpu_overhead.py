"""The cost that projection adds to a training step, at Llama-2-7B's ratio of operations on a laptop.

    jaxft benchmark configs/benchmarks/cpu_overhead.py

One eighth of Llama-2-7B's widths, layers, row length (4096), tokens a step (16384) and protected directions (512), with
a vocabulary that gives the head the same share of the work. So projecting takes the same share of a step's operations,
2.1 %; of this, the gradients take 0.2, as they are kept out of only the strongest tenth of the directions. The bar: at
most 3 % more time than full fine-tuning, and than the same step without its projections.
"""

from experiments.benchmarks import Benchmark
from jaxft.llama.config import LlamaConfig

benchmark = Benchmark(
    name="cpu_overhead",
    model=LlamaConfig(
        vocab_size=500,
        hidden_size=512,
        intermediate_size=1376,
        num_layers=4,
        num_heads=4,
        num_kv_heads=4,
        head_dim=128,
        max_positions=512,
    ),
    batch_rows=4,
    row_length=512,
    rank=64,
    gradients=0.1,
    methods=("full", "unprojected", "projection"),
    parts=("train",),
    steps=2,
    overhead_bar=0.03,
)

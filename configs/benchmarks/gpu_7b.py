"""Llama-2-7B in bfloat16 at its full context, on one GPU with 141 GB.

    XLA_PYTHON_CLIENT_MEM_FRACTION=.8 jaxft benchmark configs/benchmarks/gpu_7b.py

The rest of the memory is left to torch, which takes turns with jaxft. The weights are random, so nothing is downloaded.
Not measured yet. Full fine-tuning is left out: weights, gradients and Adam's moments in float32 take 108 GB on each
side, and the other side needs its share too. Projection trains the same linears; compare it with `unprojected`.
"""

from experiments.benchmarks import Benchmark
from jaxft.llama.config import LlamaConfig

benchmark = Benchmark(
    name="gpu_7b",
    model=LlamaConfig(
        vocab_size=32_000,
        hidden_size=4096,
        intermediate_size=11_008,
        num_layers=32,
        num_heads=32,
        num_kv_heads=32,
        head_dim=128,
        max_positions=4096,
    ),
    dtype="bfloat16",
    remat="full",
    batch_rows=1,
    row_length=4096,
    rank=512,
    gradients=0.1,
    methods=("lora", "unprojected", "projection"),
    rounds=3,
)

"""Every part at a size that a laptop measures in a few minutes, against torch where that is installed.

    jaxft benchmark configs/benchmarks/cpu_small.py

A model of 4 million parameters in float32, batches of 16 rows of 128 tokens. Needs: full and LoRA steps as fast as
torch's, generation four times as fast as transformers', imports no slower than those of transformers.
"""

from experiments.benchmarks import Benchmark
from jaxft.llama.config import LlamaConfig

benchmark = Benchmark(
    name="cpu_small",
    model=LlamaConfig(
        vocab_size=2048,
        hidden_size=256,
        intermediate_size=704,
        num_layers=4,
        num_heads=8,
        num_kv_heads=4,
        head_dim=32,
        max_positions=512,
    ),
    rank=64,
    steps=8,
)

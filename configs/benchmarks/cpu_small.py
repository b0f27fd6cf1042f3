"""Every part at a size that a laptop measures in a few minutes, against torch if that is installed.

    jaxft benchmark configs/benchmarks/cpu_small.py

The shape of the shipped base in float32, batches of 16 rows of 128 tokens, replies of 128 tokens to 64 prompts.
Products are kept for the backward pass and the rest is recomputed. This is fastest on CPU, where XLA fills the buffers
of all values that a scan keeps with zeros first. The bars: full and LoRA steps as fast as torch's, generation four
times as fast as transformers', calibration at 0.8 of its own forward pass, imports no slower than transformers'.
"""

from experiments.benchmarks import Benchmark

benchmark = Benchmark(name="cpu_small", model="base", remat="dots", rank=32, steps=8)

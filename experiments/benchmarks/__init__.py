"""Speed of jaxft, measured in turns with torch, transformers and peft if these are installed."""

from experiments.benchmarks.drawing import table, write_chart
from experiments.benchmarks.record import benchmark
from experiments.benchmarks.settings import Benchmark, load_benchmark

__all__ = ["Benchmark", "benchmark", "load_benchmark", "table", "write_chart"]

"""Benchmarks so small that measuring means nothing and every part runs in seconds."""

from __future__ import annotations

from typing import Any

from experiments.benchmarks import Benchmark
from jaxft.llama.config import LlamaConfig

SHAPE = LlamaConfig(64, 16, 24, 2, 2, 1, 8, 64)


def toy(**changes: Any) -> Benchmark:
    settings: dict[str, Any] = dict(
        name="toy",
        model=SHAPE,
        batch_rows=2,
        row_length=32,
        rank=4,
        lora_rank=2,
        prompts=3,
        prompt_length=32,
        new_tokens=4,
        rounds=2,
        steps=2,
    )
    return Benchmark(**{**settings, **changes})

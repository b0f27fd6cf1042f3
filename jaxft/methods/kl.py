"""Distillation from the base on reference text.

loss + strength * KL(p_base || p_model), the mean over tokens of reference text. The base is the teacher (Hinton et al.
2015, arXiv:1503.02531, at temperature 1) of its own old behaviour (Li and Hoiem 2016, learning without forgetting,
arXiv:1606.09282, with reference text in place of the new task's inputs).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jax import Array

from jaxft.bounds import Positive
from jaxft.llama import flops
from jaxft.llama.config import LlamaConfig
from jaxft.llama.loss import chunked_kl_sum
from jaxft.llama.model import Llama, hidden
from jaxft.methods.base import REFERENCE, Method

#: Tokens of a row whose logits are in memory at once.
CHUNK = 256


@dataclass(frozen=True)
class KL(Method):
    """All weights are trained; each step runs the base and the model on as much reference text as domain text."""

    kind = "kl"
    reads = frozenset({"base", REFERENCE})

    strength: Positive = 1.0

    def penalty(self, base: Llama, trainable: Any, reference: Mapping[str, Array]) -> Array:
        inputs = reference["tokens"], reference["positions"], reference["segments"]
        before, after = hidden(base, *inputs), hidden(trainable, *inputs)
        return self.strength * chunked_kl_sum(base, before, trainable, after, reference["weights"], CHUNK)

    def flops(self, config: LlamaConfig, rows: int, length: int, ranks: Mapping[str, int]) -> int:
        """The base forward, the model forward and backward, on as many rows of reference text."""
        return 4 * flops.forward(config, rows, length)

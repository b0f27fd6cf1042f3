"""The architecture of one Llama model: the numbers in its Hugging Face config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxft.errors import require


@dataclass(frozen=True)
class LlamaConfig:
    """Shapes and constants of a Llama model; lengths in tokens, sizes in features.

    rope_scaling: linear RoPE scaling factor; positions are divided by it (1 means none).
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    rope_scaling: float = 1.0
    tied_head: bool = False
    bos_token: int = 1
    eos_token: int = 2

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd; rotary embeddings need pairs of features")

    def check_length(self, key: str, tokens: int) -> None:
        """UserError for a row, whose length stands at `key`, that is longer than the context."""
        expected = f"at most {self.max_positions} tokens, the context of the model"
        require(tokens <= self.max_positions, key, tokens, expected)

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(input width, output width) of every linear of one layer, by name."""
        d, f = self.hidden_size, self.intermediate_size
        heads, kv_heads = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return {
            "q": (d, heads),
            "k": (d, kv_heads),
            "v": (d, kv_heads),
            "o": (heads, d),
            "gate": (d, f),
            "up": (d, f),
            "down": (f, d),
        }

    @property
    def parameter_count(self) -> int:
        """Number of trainable scalars of the whole model."""
        layer = sum(i * o for i, o in self.linear_shapes.values()) + 2 * self.hidden_size
        ends = self.vocab_size * self.hidden_size * (1 if self.tied_head else 2)
        return self.num_layers * layer + ends + self.hidden_size


def _llama2(hidden: int, mlp: int, layers: int, heads: int, kv_heads: int) -> LlamaConfig:
    return LlamaConfig(32_000, hidden, mlp, layers, heads, kv_heads, 128, 4096)


Shape = Literal["llama2_7b", "llama2_13b", "llama2_70b"]
#: Shapes of published models (Touvron et al. 2023, Llama 2), to plan with before their files are here.
SHAPES: dict[Shape, LlamaConfig] = {
    "llama2_7b": _llama2(4096, 11_008, 32, 32, 32),
    "llama2_13b": _llama2(5120, 13_824, 40, 40, 40),
    "llama2_70b": _llama2(8192, 28_672, 80, 64, 8),
}

#: Linears that read the same input; their updates share one protected basis.
INPUT_SPACES: dict[str, tuple[str, ...]] = {
    "attention_input": ("q", "k", "v"),
    "attention_output": ("o",),
    "mlp_input": ("gate", "up"),
    "mlp_output": ("down",),
}
SPACE_OF: dict[str, str] = {linear: space for space, linears in INPUT_SPACES.items() for linear in linears}

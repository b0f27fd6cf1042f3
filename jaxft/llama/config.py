"""The architecture of a Llama model: the numbers in its Hugging Face config.json, and its linears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxft.errors import require


@dataclass(frozen=True)
class Linear:
    """One linear of a layer, y = x W.

    axes: logical axes of W [in, out], as in `LlamaConfig.widths`. space: the input x, by name.
    module: the linear's name in a layer of transformers' Llama.
    """

    axes: tuple[str, str]
    space: str
    module: str


#: The linears of a layer, by name, in the order in which the layer applies them.
LINEARS: dict[str, Linear] = {
    "q": Linear(("hidden", "heads"), "attention_input", "self_attn.q_proj"),
    "k": Linear(("hidden", "kv_heads"), "attention_input", "self_attn.k_proj"),
    "v": Linear(("hidden", "kv_heads"), "attention_input", "self_attn.v_proj"),
    "o": Linear(("heads", "hidden"), "attention_output", "self_attn.o_proj"),
    "gate": Linear(("hidden", "mlp"), "mlp_input", "mlp.gate_proj"),
    "up": Linear(("hidden", "mlp"), "mlp_input", "mlp.up_proj"),
    "down": Linear(("mlp", "hidden"), "mlp_output", "mlp.down_proj"),
}
#: The input space of each linear; linears that read the same input share one protected basis.
SPACE_OF: dict[str, str] = {name: linear.space for name, linear in LINEARS.items()}
#: The linears that read each input space.
INPUT_SPACES: dict[str, tuple[str, ...]] = {
    space: tuple(name for name in LINEARS if SPACE_OF[name] == space) for space in dict.fromkeys(SPACE_OF.values())
}


@dataclass(frozen=True)
class LlamaConfig:
    """Shapes and constants of a Llama model; lengths in tokens, sizes in features.

    rope_scaling: linear RoPE scaling factor; positions are divided by it (1: no scaling). end_tokens: a reply ends at
    any of them.
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
    end_tokens: tuple[int, ...] = (2,)

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd; rotary embeddings need pairs of features")

    def check_length(self, key: str, tokens: int) -> None:
        """UserError if a row of `tokens` exceeds the context. key: the place of that number in a config."""
        expected = f"at most {self.max_positions} tokens, the context of the model"
        require(tokens <= self.max_positions, key, tokens, expected)

    @property
    def widths(self) -> dict[str, int]:
        """Number of features of each logical axis of the linears."""
        return {
            "hidden": self.hidden_size,
            "heads": self.num_heads * self.head_dim,
            "kv_heads": self.num_kv_heads * self.head_dim,
            "mlp": self.intermediate_size,
        }

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(input width, output width) of every linear of one layer, by name."""
        widths = self.widths
        return {name: (widths[linear.axes[0]], widths[linear.axes[1]]) for name, linear in LINEARS.items()}

    @property
    def parameter_count(self) -> int:
        """Number of trainable scalars of the whole model."""
        layer = sum(i * o for i, o in self.linear_shapes.values()) + 2 * self.hidden_size
        ends = self.vocab_size * self.hidden_size * (1 if self.tied_head else 2)
        return self.num_layers * layer + ends + self.hidden_size


def _llama2(hidden: int, mlp: int, layers: int, heads: int, kv_heads: int) -> LlamaConfig:
    return LlamaConfig(32_000, hidden, mlp, layers, heads, kv_heads, 128, 4096)


Shape = Literal["llama2_7b", "llama2_13b", "llama2_70b"]
#: Shapes of published models (Touvron et al. 2023, Llama 2), for plans without their files.
SHAPES: dict[Shape, LlamaConfig] = {
    "llama2_7b": _llama2(4096, 11_008, 32, 32, 32),
    "llama2_13b": _llama2(5120, 13_824, 40, 40, 40),
    "llama2_70b": _llama2(8192, 28_672, 80, 64, 8),
}

"""The architecture of a Llama model: the numbers in its Hugging Face config.json, and its linears."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from jaxft.errors import require
from jaxft.llama.rope import Linear as LinearRope
from jaxft.llama.rope import Rope


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
#: Linears that some families store as one tensor, their outputs one after the other, by its name in a layer.
FUSED: dict[str, tuple[str, ...]] = {"self_attn.qkv_proj": ("q", "k", "v"), "mlp.gate_up_proj": ("gate", "up")}
#: The norms of a layer by `LlamaConfig.norms`, with their names in transformers.
NORMS: dict[str, dict[str, str]] = {
    "before": {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"},
    "after": {"attention_post_norm": "post_attention_layernorm", "mlp_post_norm": "post_feedforward_layernorm"},
    "both": {
        "attention_norm": "input_layernorm",
        "attention_post_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    },
}


@dataclass(frozen=True)
class LlamaConfig:
    """Shapes and constants of a Llama model; lengths in tokens, sizes in features.

    end_tokens: a reply ends at any of them.

    The fields from `family` on are what other families add to a Llama (`families.py`); their defaults are Llama's.
    family: model_type in config.json. biased: linears with a bias. norms: of attention and of the MLP, on their inputs
    ("before"), outputs or both. qk_norm: of queries and keys, of each head or over all heads. norm_plus_one:
    norms multiply by their weight + 1. query_scale: of the scores (None: head_dim^-0.5). score_cap, logit_cap: a value
    v becomes cap * tanh(v / cap). local: layer by layer, True if it sees only the last `window` tokens (None: all)
    and rotates by `local_rope` (None: `rope`); empty: no layer is local. fused: stored as in `FUSED`.
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
    rope: Rope = Rope()
    tied_head: bool = False
    bos_token: int | None = 1
    end_tokens: tuple[int, ...] = (2,)

    family: str = "llama"
    biased: tuple[str, ...] = ()
    norms: Literal["before", "after", "both"] = "before"
    qk_norm: Literal["none", "heads", "all"] = "none"
    norm_plus_one: bool = False
    activation: Literal["silu", "gelu_pytorch_tanh"] = "silu"
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    query_scale: float | None = None
    score_cap: float | None = None
    logit_cap: float | None = None
    logit_divisor: float = 1.0
    local: tuple[bool, ...] = ()
    window: int | None = None
    local_rope: Rope | None = None
    fused: bool = False

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd; rotary embeddings need pairs of features")
        self.rope.width(self.head_dim)

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
    def modules(self) -> dict[str, tuple[str, ...]]:
        """The linears that each stored weight of a layer holds, by its name in transformers."""
        fused = FUSED if self.fused else {}
        held = {name for names in fused.values() for name in names}
        return fused | {linear.module: (name,) for name, linear in LINEARS.items() if name not in held}

    @property
    def vectors(self) -> dict[str, int]:
        """Width of every norm's weight and every bias of one layer, by name."""
        found = dict.fromkeys(NORMS[self.norms], self.hidden_size)
        if self.qk_norm != "none":
            every = self.qk_norm == "all"
            found["q_norm"] = self.head_dim * (self.num_heads if every else 1)
            found["k_norm"] = self.head_dim * (self.num_kv_heads if every else 1)
        return found | {f"{name}_bias": self.linear_shapes[name][1] for name in self.biased}

    @property
    def windowed(self) -> bool:
        """True if some layer does not see the whole context."""
        return any(self.local) and self.window is not None and self.window < self.max_positions

    def identity(self) -> dict[str, Any]:
        """All fields as JSON values, to be hashed; those from `family` on only where they differ from a Llama's."""
        names = [field.name for field in fields(self)]
        flags = names[names.index("family") :]
        found = {
            name: getattr(self, name) for name in names if name not in flags or getattr(self, name) != DEFAULT[name]
        }
        found["eos_token"] = next(iter(found.pop("end_tokens")), None)  # what else ends a reply is the tokenizer's part
        found |= {name: {"kind": v.kind, **asdict(v)} for name, v in found.items() if isinstance(v, Rope)}
        if type(self.rope) in (Rope, LinearRope) and self.rope.partial_rotary_factor == 1:
            rope = found.pop("rope")
            found |= {"rope_theta": rope["rope_theta"], "rope_scaling": rope.get("factor", 1.0)}
        return found

    @property
    def parameter_count(self) -> int:
        """Number of trainable scalars of the whole model."""
        layer = sum(i * o for i, o in self.linear_shapes.values()) + sum(self.vectors.values())
        ends = self.vocab_size * self.hidden_size * (1 if self.tied_head else 2)
        return self.num_layers * layer + ends + self.hidden_size


DEFAULT = {field.name: field.default for field in fields(LlamaConfig)}


def _llama2(hidden: int, mlp: int, layers: int, heads: int, kv_heads: int) -> LlamaConfig:
    return LlamaConfig(32_000, hidden, mlp, layers, heads, kv_heads, 128, 4096)


Shape = Literal["llama2_7b", "llama2_13b", "llama2_70b"]
#: Shapes of published models (Touvron et al. 2023, Llama 2), for plans without their files.
SHAPES: dict[Shape, LlamaConfig] = {
    "llama2_7b": _llama2(4096, 11_008, 32, 32, 32),
    "llama2_13b": _llama2(5120, 13_824, 40, 40, 40),
    "llama2_70b": _llama2(8192, 28_672, 80, 64, 8),
}

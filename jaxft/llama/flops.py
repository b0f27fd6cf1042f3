"""Floating-point operations of a Llama by formula: forward, calibration, generation.

Convention. A multiplication and an addition are two operations; matrix products alone are counted, so norms, softmax,
rotary angles, the embedding lookup and the optimizer's elementwise work are left out (under 1 % at 7 B). Attention is
counted as causal: the i-th token, from 1, reads i keys, or those of its window, even if the kernel computes more and
masks them. A backward
pass takes as much again for the inputs and, if the weight is trained, for the weight: `Method.step_flops` in
`jaxft/methods/base.py` counts whole training steps. Recomputation under a remat policy is not counted: these are the
operations that the model needs, the basis of model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B). rows
are sequences of `length` real tokens each.

XLA's own `cost_analysis` is not used: it counts the body of a scan once and custom kernels as 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from jaxft.llama.config import INPUT_SPACES, LlamaConfig


def linears(config: LlamaConfig, names: Iterable[str] | None = None) -> int:
    """The forward pass of the named linears (None: all) of every layer, for one token."""
    shapes = config.linear_shapes
    chosen = shapes if names is None else names
    return 2 * config.num_layers * sum(shapes[name][0] * shapes[name][1] for name in chosen)


def head(config: LlamaConfig) -> int:
    """Logits of one token."""
    return 2 * config.hidden_size * config.vocab_size


def attention(config: LlamaConfig, rows: int, length: int, cached: int = 0) -> int:
    """Scores and weighted values of `length` tokens per row that follow `cached` earlier ones, in every layer."""
    pairs = config.num_layers * _pairs(length, cached)
    if config.windowed and config.window is not None:
        inside = min(max(config.window - cached, 0), length)  # tokens whose window holds all earlier ones
        local = _pairs(inside, cached) + (length - inside) * config.window
        pairs += sum(config.local) * (local - _pairs(length, cached))
    return 4 * config.num_heads * config.head_dim * rows * pairs


def _pairs(length: int, cached: int) -> int:
    """Pairs of a token and a key that it sees."""
    return length * cached + length * (length + 1) // 2


def forward(config: LlamaConfig, rows: int, length: int) -> int:
    """The forward pass with the logits of every token."""
    tokens = rows * length
    return tokens * (linears(config) + head(config)) + attention(config, rows, length)


def forward_per_token(config: LlamaConfig, length: int) -> float:
    """The forward pass and the logits of one token, the mean over a sequence of `length`."""
    return forward(config, 1, length) / length


def moments(config: LlamaConfig, tokens: int) -> int:
    """Second moments of every input space, which one-sided calibration adds to the blocks' forward pass."""
    widths = [config.linear_shapes[names[0]][0] for names in INPUT_SPACES.values()]
    return 2 * tokens * config.num_layers * sum(width * width for width in widths)


def blocks(config: LlamaConfig, rows: int, length: int) -> int:
    """The forward pass without the head."""
    return rows * length * linears(config) + attention(config, rows, length)


def prefill(config: LlamaConfig, rows: int, length: int) -> int:
    """Reading prompts of `length` tokens, and the logits of their last token, which choose the first new token."""
    return blocks(config, rows, length) + rows * head(config)


def decode(config: LlamaConfig, rows: int, length: int, new_tokens: int) -> int:
    """Choosing the other `new_tokens` - 1 tokens of each row, one by one, with a key-value cache."""
    steps = new_tokens - 1
    return rows * steps * (linears(config) + head(config)) + attention(config, rows, steps, cached=length)


def decode_per_token(config: LlamaConfig, cached: int) -> int:
    """One new token that follows `cached` earlier ones."""
    return linears(config) + head(config) + attention(config, 1, 1, cached=cached)

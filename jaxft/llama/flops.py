"""Floating-point operations of a Llama by formula: forward, training step of each method, calibration, generation.

Convention. A multiplication and an addition are two operations; matrix products alone are counted, so norms, softmax,
rotary angles, the embedding lookup and the optimizer's elementwise work are left out (under 1 % at 7 B). Attention is
counted causal: the token at place i, from 1, meets i keys, whatever the kernel computes and masks away. A backward pass
takes as much again for the inputs and, where the weight is trained, for the weight. Recomputation under a remat policy
is not counted: these are the operations the model needs, which is what model FLOPs utilisation is measured with
(Chowdhery et al. 2022, PaLM, appendix B). rows are sequences of `length` real tokens each.

XLA's own `cost_analysis` will not do: it counts the body of a scan once and custom kernels as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from jaxft.llama.config import INPUT_SPACES, SPACE_OF, LlamaConfig
from jaxft.method_config import (
    EWC,
    KL,
    L2SP,
    Adapted,
    Auto,
    Corda,
    Dora,
    FrozenLayers,
    Full,
    Galore,
    GradientProjection,
    Grafted,
    Interpolated,
    LoraNull,
    Method,
    NullSpaceLora,
    Osf,
)
from jaxft.subspace.low_rank_moment import is_full


class StepFlops(NamedTuple):
    """Operations of one training step.

    method: adapters, projections, decay, reference text; what plain training does not have.
    """

    forward: int
    backward: int
    method: int

    @property
    def total(self) -> int:
        return self.forward + self.backward + self.method


def linears(config: LlamaConfig, names: Iterable[str] | None = None) -> int:
    """Forward of the named linears (all where None) of every layer, for one token."""
    shapes = config.linear_shapes
    chosen = shapes if names is None else names
    return 2 * config.num_layers * sum(shapes[name][0] * shapes[name][1] for name in chosen)


def head(config: LlamaConfig) -> int:
    """Logits of one token."""
    return 2 * config.hidden_size * config.vocab_size


def attention(config: LlamaConfig, rows: int, length: int, cached: int = 0) -> int:
    """Scores and weighted values of `length` tokens a row that follow `cached` earlier ones, in every layer."""
    pairs = length * cached + length * (length + 1) // 2
    return 4 * config.num_layers * config.num_heads * config.head_dim * rows * pairs


def forward(config: LlamaConfig, rows: int, length: int) -> int:
    """The forward pass with the logits of every token."""
    tokens = rows * length
    return tokens * (linears(config) + head(config)) + attention(config, rows, length)


def forward_per_token(config: LlamaConfig, length: int) -> float:
    """The same for one token, the mean over a sequence of `length`."""
    return forward(config, 1, length) / length


def train_step(
    config: LlamaConfig, method: Method, rows: int, length: int, ranks: Mapping[str, int] | None = None
) -> StepFlops:
    """One optimizer step on rows of `length` tokens.

    ranks: protected directions of each input space, for methods with protected bases. Every layer is counted alike;
    that the first needs no gradient of its frozen input is not taken off.
    """
    tokens, once = rows * length, forward(config, rows, length)
    both = 2 * once  # gradients of inputs and of weights; attention has two inputs, the head and the linears a weight
    if isinstance(method, Auto):
        method = method.at(1.0, 0.0)
    match method:
        case Full() | L2SP() | EWC() | Interpolated() | Grafted() | FrozenLayers():
            return StepFlops(once, both, 0)
        case KL():  # the base forward, the model forward and backward, on as many rows of reference text
            return StepFlops(once, both, 2 * once + both)
        case Galore():
            return StepFlops(once, both, low_rank(config, method) + refreshes(config, method))
        case Osf(targets=targets):
            frozen = tokens * (linears(config) - linears(config, targets) + head(config))
            return StepFlops(once, both - frozen, both_sides(config, method))
        case Adapted():
            frozen = tokens * (linears(config) + head(config))
            return StepFlops(once, both - frozen, adapters(config, method, tokens, ranks or {}))
        case GradientProjection(targets=targets):
            frozen = tokens * (linears(config) - linears(config, targets) + head(config))
            return StepFlops(once, both - frozen, projections(config, method, ranks or {}) + decay(config, method))


def adapters(config: LlamaConfig, method: Adapted, tokens: int, ranks: Mapping[str, int]) -> int:
    """Low-rank factors of one step: a forward pass, and the gradients of their inputs and of themselves."""
    shapes = [(*config.linear_shapes[name], SPACE_OF[name]) for name in method.targets]
    products = 3 * tokens * sum(width + out for width, out, _ in shapes)
    match method:
        case LoraNull() | Corda():  # those of the start too, without their own gradients
            products += 2 * tokens * sum(width + out for width, out, _ in shapes)
        case Dora():  # A B, for the norms
            products += sum(width * out for width, out, _ in shapes)
        case NullSpaceLora():  # the projections of A's gradient and of its update
            products += 4 * sum(min(ranks[space], width - ranks[space]) * width for width, _, space in shapes)
    return 2 * config.num_layers * method.rank * products


def low_rank(config: LlamaConfig, method: Galore) -> int:
    """GaLore's products of one step: P^T G and P R, 2 r d n each, for every linear [d, n]."""
    return 4 * method.rank * config.num_layers * sum(d * n for d, n in config.linear_shapes.values())


def refreshes(config: LlamaConfig, method: Galore) -> int:
    """GaLore's singular value decompositions, one in `gap` steps: 14 m n^2 + 8 n^3 for each linear with sides m >= n
    (Golub and Van Loan 2013, section 8.6: singular values and vectors of the narrower side)."""
    sides = [sorted(shape) for shape in config.linear_shapes.values()]
    return config.num_layers * sum(14 * m * n * n + 8 * n**3 for n, m in sides) // method.gap


def both_sides(config: LlamaConfig, method: Osf) -> int:
    """OSF's projections of one step: 4 k d n on each side of a linear [d, n], of gradients and of updates."""
    shapes = [config.linear_shapes[name] for name in method.targets]
    return 16 * config.num_layers * sum(method.kept(d, n) * d * n for d, n in shapes)


def projections(config: LlamaConfig, method: GradientProjection, ranks: Mapping[str, int]) -> int:
    """Projections of one step: 4 k d n for each weight [d, n], for updates and, with their share of k, for gradients.

    k: stored directions of the weight's input space, those protected or those free, whichever are fewer.
    """
    products = 0
    for name in method.targets if method.gradients or method.updates else ():
        width, out = config.linear_shapes[name]
        rank = ranks[SPACE_OF[name]]
        stored = min(rank, width - rank)
        leading = math.ceil(method.gradients * stored) if rank == stored else stored * (method.gradients > 0)
        products += 4 * (leading + method.updates * stored) * width * out
    return config.num_layers * products


def decay(config: LlamaConfig, method: GradientProjection) -> int:
    """The moment-weighted decay of one step: C dW, and (C dW) S where two-sided; 4 r d n each by r directions, 2 d d n
    and 2 d n n by whole matrices."""
    if method.decay <= 0:
        return 0

    def side(width: int) -> int:
        return 2 * width if is_full(method.metric_rank, width) else 4 * method.metric_rank

    shapes = [config.linear_shapes[name] for name in method.targets]
    sides = sum(width * out * (side(width) + (side(out) if method.two_sided else 0)) for width, out in shapes)
    return config.num_layers * sides


def moments(config: LlamaConfig, tokens: int) -> int:
    """Second moments of every input space, which one-sided calibration adds to the blocks' forward pass."""
    widths = [config.linear_shapes[names[0]][0] for names in INPUT_SPACES.values()]
    return 2 * tokens * config.num_layers * sum(width * width for width in widths)


def blocks(config: LlamaConfig, rows: int, length: int) -> int:
    """The forward pass without the head."""
    return rows * length * linears(config) + attention(config, rows, length)


def prefill(config: LlamaConfig, rows: int, length: int) -> int:
    """Reading prompts of `length` tokens and the logits of their last, which choose the first new token."""
    return blocks(config, rows, length) + rows * head(config)


def decode(config: LlamaConfig, rows: int, length: int, new_tokens: int) -> int:
    """Choosing the other `new_tokens` - 1 tokens of each row, one by one, with a key-value cache."""
    steps = new_tokens - 1
    return rows * steps * (linears(config) + head(config)) + attention(config, rows, steps, cached=length)


def decode_per_token(config: LlamaConfig, cached: int) -> int:
    """One new token that follows `cached` earlier ones."""
    return linears(config) + head(config) + attention(config, 1, 1, cached=cached)

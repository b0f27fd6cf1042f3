"""Attention, and the choice of the kernel that computes it.

`reference` is XLA's own, for every device, shape and mask; it stores the scores [B, N, T, S]. `splash` is JAX's flash
attention kernel for TPU; it never stores the scores, and it takes the segments of packed rows, so that no token sees
another segment. cuDNN's kernel on GPU attends across packed segments, and is not offered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention
from jaxtyping import Array, Bool, Float, Int

from jaxft.bounds import fit
from jaxft.errors import UserError
from jaxft.llama.config import LlamaConfig
from jaxft.sharding import Layout, on_mesh

Attention = Literal["auto", "reference", "splash"]
LANES = 128  # of a TPU's vector unit: the kernel's tiles are multiples of it
TILE = 512  # tokens of a tile at most
HIDDEN = -1e30  # score of an invisible token: its weight is 0, and a row without visible tokens stays finite


class Segments(NamedTuple):
    """Segments of packed rows: a token sees itself and the earlier tokens of its segment; segment 0 is padding."""

    ids: Int[Array, "B T"]


Visible = Bool[Array, "B 1 T S"] | Segments  # the tokens that each token sees


def choose_attention(requested: str, platform: str, config: LlamaConfig) -> str:
    """The kernel for packed rows, "reference" or "splash", on a platform ("cpu", "gpu", "tpu").

    "auto" takes splash on TPU if it supports the model; rows of an unsupported length take the reference.
    UserError if the name is unknown or if splash is requested and cannot run.
    """
    fit(requested, Attention, "attention")
    fits = platform == "tpu" and splash_fits(config, LANES)
    if requested == "splash" and not fits:
        raise UserError(
            f"attention 'splash': needs a TPU (found {platform}), heads whose width is a multiple of {LANES} "
            f"(found {config.head_dim}), and no windows, soft caps or query scale (found {config.family}); "
            "choose 'auto' or 'reference'"
        )
    return "splash" if fits and requested != "reference" else "reference"


def splash_fits(config: LlamaConfig, length: int) -> bool:
    """True if the splash kernel supports these heads, this kind of attention and rows of this length."""
    plain = not config.windowed and config.score_cap is None and config.query_scale is None
    return plain and config.head_dim % LANES == 0 and length % LANES == 0


def packed_mask(segments: Int[Array, "B T"]) -> Bool[Array, "B 1 T T"]:
    """Causal attention within each segment of a packed row; segment 0 is padding and attends to itself alone."""
    length = segments.shape[1]
    causal = jnp.tril(jnp.ones((length, length), bool))
    same = segments[:, :, None] == segments[:, None, :]
    return (same & causal)[:, None]


def in_window(visible: Visible, window: int | None, first: Any) -> Bool[Array, "B 1 T S"]:
    """The mask without tokens that are `window` or more slots back. first: the slot of the first of the T tokens."""
    assert not isinstance(visible, Segments) and window is not None
    length, slots = visible.shape[-2:]
    return visible & (first + jnp.arange(length)[:, None] - jnp.arange(slots) < window)


def capped(x: Array, cap: float | None) -> Array:
    """cap * tanh(x / cap): x if it is small against the cap, never beyond it (Gemma 2, arXiv:2408.00118)."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def attend(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B K S H"],
    v: Float[Array, "B K S H"],
    visible: Visible,
    layout: Layout,
    scale: float | None = None,
    cap: float | None = None,
) -> Float[Array, "B T N H"]:
    """softmax(q k^T / sqrt(H)) v over the visible tokens, with N / K query heads to each key-value head.

    scale: in place of 1 / sqrt(H). cap: of the scores, see `capped`; the reference alone knows both.

    A mask selects the reference, segments select splash. Keys and values have their heads first, as in the cache, so
    that no product needs them transposed.
    """
    if isinstance(visible, Segments):
        return splash(q, k, v, visible.ids, layout)
    batch, length, heads, width = q.shape
    groups = k.shape[1]
    each = heads // groups
    # The query heads of a group and their tokens are the rows of one product: BTNH -> BK(GT)H.
    q = (
        (q * (width**-0.5 if scale is None else scale))
        .reshape(batch, length, groups, each, width)
        .transpose(0, 2, 3, 1, 4)
    )
    rows = q.reshape(batch, groups, each * length, width)
    scores = jnp.einsum("bkqh,bksh->bkqs", rows, k, preferred_element_type=jnp.float32)
    scores = capped(scores, cap).reshape(batch, groups, each, length, -1)
    weights = jax.nn.softmax(jnp.where(visible[:, None], scores, HIDDEN), axis=-1).astype(v.dtype)
    mixed = jnp.einsum("bkqs,bksh->bkqh", weights.reshape(batch, groups, each * length, -1), v)
    return (
        mixed.reshape(batch, groups, each, length, width).transpose(0, 3, 1, 2, 4).reshape(batch, length, heads, width)
    )


def splash(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B K T H"],
    v: Float[Array, "B K T H"],
    segments: Int[Array, "B T"],
    layout: Layout,
    interpret: bool = False,
) -> Float[Array, "B T N H"]:
    """Causal attention within segments by the splash kernel; each device takes its own rows and heads.

    interpret: run the kernel's Python on any device, for tests.
    """

    def local(q: Array, k: Array, v: Array, segments: Array) -> Array:
        kernel = _kernel(q.shape[1], q.shape[2], interpret)
        ids = splash_attention.SegmentIds(segments, segments)
        return jax.vmap(kernel)((q * q.shape[-1] ** -0.5).swapaxes(1, 2), k, v, ids).swapaxes(1, 2).astype(q.dtype)

    if not on_mesh():
        return local(q, k, v, segments)
    heads, rows = layout.spec("batch", None, "tensor", None), layout.rows
    first = layout.spec("batch", "tensor", None, None)
    # The kernel does not declare the mesh axes along which its results differ, so check_vma has nothing to check.
    split = jax.shard_map(local, in_specs=(heads, first, first, rows), out_specs=heads, check_vma=False)
    return split(q, k, v, segments)


def _kernel(length: int, heads: int, interpret: bool) -> Callable[..., Any]:
    tile = next(size for size in (TILE, TILE // 2, LANES) if length % size == 0)
    sizes = splash_attention.BlockSizes(
        block_q=tile,
        block_kv=tile,
        block_q_dkv=tile,
        block_kv_dkv=tile,
        block_q_dq=tile,
        block_kv_dq=tile,
    )
    mask = splash_attention.MultiHeadMask([splash_attention.CausalMask((length, length))] * heads)
    return splash_attention.make_splash_mha(mask, head_shards=1, q_seq_shards=1, block_sizes=sizes, interpret=interpret)

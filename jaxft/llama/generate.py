"""Batched text generation with a key-value cache: one prefill, then a `while_loop` until all rows have ended."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Int

from jaxft.distributed import gather
from jaxft.errors import UserError
from jaxft.llama.cache import Cache
from jaxft.llama.model import Adapters, Llama, embed, logits, run_layers
from jaxft.progress import tracked
from jaxft.sharding import reshard

#: Prompts are padded to a multiple of this many tokens, so that few shapes are compiled.
BUCKET = 32


class State(NamedTuple):
    """The state between decoding steps; `tokens` holds the reply so far, [B, max_new_tokens]."""

    cache: Cache
    count: Int[Array, ""]
    last: Int[Array, " B"]
    ended: Bool[Array, " B"]
    tokens: Int[Array, "B N"]
    key: Array


@partial(jax.jit, static_argnames=("max_new_tokens", "temperature"))
def decode(
    model: Llama,
    prompts: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    key: Array,
    adapters: Adapters | None = None,
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
) -> Int[Array, "B N"]:
    """Continue left-padded prompts; a row is filled with the first end token after its own end token.

    lengths: real tokens of each prompt; a row of length 0 only fills the batch and counts as ended.
    temperature: 0 takes the most likely token, otherwise samples from softmax(logits / temperature).
    """
    config, layout = model.config, model.compute.layout
    batch, width = prompts.shape
    slots = jnp.arange(width + max_new_tokens)
    start = width - lengths  # the first real slot of each row

    def choose(values: Array, key: Array) -> Array:
        if temperature == 0.0:
            return jnp.argmax(values, axis=-1)
        return jax.random.categorical(key, values / temperature)

    def ends(tokens: Array) -> Array:
        return (tokens[:, None] == jnp.array(config.end_tokens, jnp.int32)).any(axis=-1)

    def run(tokens: Array, cache: Cache) -> tuple[Array, Cache]:
        """Logits of the last of `tokens` [B, T], which take the next T slots."""
        here = cache.slot + jnp.arange(tokens.shape[1])
        visible = (slots[None, None] >= start[:, None, None]) & (slots[None, None] <= here[None, :, None])  # B T S
        positions = jnp.maximum(here[None] - start[:, None], 0)
        x = embed(model, reshard(tokens, layout.rows))
        x, new = run_layers(model, x, positions, visible[:, None], adapters=adapters, cache=cache)
        assert new is not None
        return reshard(logits(model, x[:, -1:])[:, 0], PartitionSpec()), new

    unrolled = model.compute.unroll_decoding or not model.compute.scan
    empty = Cache.empty(config, layout, model.compute.dtype, batch, width + max_new_tokens, unrolled)
    values, cache = run(prompts, empty)
    key, use = jax.random.split(key)
    first = choose(values, use)
    fill = (*config.end_tokens, 0)[0]
    out = jnp.full((batch, max_new_tokens), fill, jnp.int32).at[:, 0].set(first)
    ended = ends(first) | (lengths == 0)
    state = State(cache, jnp.ones((), jnp.int32), first, ended, out, key)

    def unfinished(state: State) -> Array:
        return (state.count < max_new_tokens) & ~state.ended.all()

    def step(state: State) -> State:
        values, cache = run(state.last[:, None], state.cache)
        key, use = jax.random.split(state.key)
        token = jnp.where(state.ended, fill, choose(values, use))
        tokens = lax.dynamic_update_index_in_dim(state.tokens, token, state.count, axis=1)
        return State(cache, state.count + 1, token, state.ended | ends(token), tokens, key)

    return lax.while_loop(unfinished, step, state).tokens


def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    adapters: Adapters | None = None,
) -> list[list[int]]:
    """Replies to prompts of any lengths, as token lists without the end token.

    Prompts of similar length share a batch. Raises UserError if a prompt and its reply do not fit the context.
    """
    longest = max((len(p) for p in prompts), default=0)
    if longest + max_new_tokens > model.config.max_positions:
        raise UserError(
            f"prompt of {longest} tokens + max_new_tokens {max_new_tokens} exceed the model's context of "
            f"{model.config.max_positions} tokens; shorten the prompt or lower max_new_tokens"
        )
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    replies: list[list[int]] = [[] for _ in prompts]
    for number, begin in enumerate(tracked(range(0, len(order), batch_size), "replies", len(order), batch_size)):
        rows = order[begin : begin + batch_size]
        width = -(-max(len(prompts[i]) for i in rows) // BUCKET) * BUCKET
        tokens = np.full((batch_size, width), (*model.config.end_tokens, 0)[0], np.int32)
        lengths = np.zeros(batch_size, np.int32)
        for row, index in enumerate(rows):
            tokens[row, width - len(prompts[index]) :] = prompts[index]
            lengths[row] = len(prompts[index])
        key = jax.random.fold_in(jax.random.key(seed), number)
        out = gather(
            decode(model, tokens, lengths, key, adapters, max_new_tokens=max_new_tokens, temperature=temperature)
        )
        for row, index in enumerate(rows):
            ends = np.flatnonzero(np.isin(out[row], model.config.end_tokens))
            replies[index] = out[row, : ends[0] if ends.size else None].tolist()
    return replies

"""Collectives read out of compiled programs whose collectives are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from jaxft.planning.hlo import collective_bytes
from jaxft.sharding import Sharding, make_mesh, reshard, use_mesh


def test_a_gather_in_a_loop_counts_every_turn() -> None:
    with use_mesh(make_mesh(Sharding("fsdp"))):
        weights = reshard(jnp.ones((5, 32, 32)), P(None, "fsdp", None))

        @jax.jit
        def run(weights: jax.Array, x: jax.Array) -> jax.Array:
            return jax.lax.scan(lambda x, w: (jnp.tanh(x @ reshard(w, P())), None), x, weights)[0]

        text = run.lower(weights, jnp.ones((32, 32))).compile().as_text()
    found, largest = collective_bytes(text)
    assert found == {"all-gather": 5 * 32 * 32 * 4}
    assert largest == 32 * 32 * 4


def test_an_all_reduce_counts_twice() -> None:
    with use_mesh(make_mesh(Sharding("fsdp"))):
        x = reshard(jnp.ones((64, 16)), P("fsdp", None))
        sums = jax.jit(lambda x: jnp.einsum("ti,tj->ij", x, x, out_sharding=P()))
        found, largest = collective_bytes(sums.lower(x).compile().as_text())
    assert found == {"all-reduce": 2 * 16 * 16 * 4}
    assert largest == 16 * 16 * 4


def test_one_collective_in_several_pieces_counts_once() -> None:
    text = """HloModule x

%piece.1 (p: bf16[2,8]) -> bf16[16,8] {
  %p = bf16[2,8]{1,0} parameter(0)
  ROOT %all-gather.1 = bf16[16,8]{1,0} all-gather(%p), channel_id=7, dimensions={0}
}

%piece.2 (q: bf16[2,8]) -> bf16[16,8] {
  %q = bf16[2,8]{1,0} parameter(0)
  ROOT %all-gather.2 = bf16[16,8]{1,0} all-gather(%q), channel_id=7, dimensions={0}
}

ENTRY %main (a: bf16[2,8]) -> bf16[16,8] {
  %a = bf16[2,8]{1,0} parameter(0)
  %one = bf16[16,8]{1,0} fusion(%a), kind=kCustom, calls=%piece.1
  ROOT %two = bf16[16,8]{1,0} fusion(%a), kind=kCustom, calls=%piece.2
}
"""
    assert collective_bytes(text) == ({"all-gather": 16 * 8 * 2}, 16 * 8 * 2)


def test_no_collectives() -> None:
    text = jax.jit(lambda x: x @ x).lower(jnp.ones((4, 4))).compile().as_text()
    assert collective_bytes(text) == ({}, 0)

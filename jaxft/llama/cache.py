"""Keys and values of the tokens that a Llama has read while it generates."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from jaxft.llama.config import LlamaConfig
from jaxft.sharding import Layout, reshard


class Cache(NamedTuple):
    """Keys and values of the slots filled so far, and the slot that the next token goes to.

    keys, values: stacked [L, B, K, S, H] if layers are scanned; one array [B, K, S, H] per layer if unrolled.
    """

    keys: Float[Array, "L B K S H"] | tuple[Float[Array, "B K S H"], ...]
    values: Float[Array, "L B K S H"] | tuple[Float[Array, "B K S H"], ...]
    slot: Int[Array, ""]

    @classmethod
    def empty(cls, config: LlamaConfig, layout: Layout, dtype: str, batch: int, slots: int, unrolled: bool) -> Cache:
        """Zeros for `batch` rows of `slots` tokens."""
        shape, layers = (batch, config.num_kv_heads, slots, config.head_dim), config.num_layers
        spec = layout.spec("batch", "tensor", None, None)

        def zeros() -> Any:
            if unrolled:
                return tuple(reshard(jnp.zeros(shape, dtype), spec) for _ in range(layers))
            return reshard(jnp.zeros((layers, *shape), dtype), PartitionSpec(None, *spec))

        return cls(zeros(), zeros(), jnp.zeros((), jnp.int32))

    def write(self, layer: Any, k: Float[Array, "B K T H"], v: Float[Array, "B K T H"]) -> Cache:
        """Fill the next T slots of one layer; `slot` does not advance, for the other layers."""

        def put_at(stored: Any, new: Array) -> Any:
            if isinstance(stored, tuple):
                changed = lax.dynamic_update_slice_in_dim(stored[layer], new.astype(stored[layer].dtype), self.slot, 2)
                return (*stored[:layer], changed, *stored[layer + 1 :])
            return lax.dynamic_update_slice(stored, new.astype(stored.dtype)[None], (layer, 0, 0, self.slot, 0))

        return self._replace(keys=put_at(self.keys, k), values=put_at(self.values, v))

    def layer(self, index: Any) -> tuple[Float[Array, "B K S H"], Float[Array, "B K S H"]]:
        """One layer's keys and values."""

        def get(stored: Any) -> Array:
            return (
                stored[index] if isinstance(stored, tuple) else lax.dynamic_index_in_dim(stored, index, keepdims=False)
            )

        return get(self.keys), get(self.values)

"""Llama and its relatives in Flax: a container of parameters and one pure forward pass that reads top to bottom.

Shape letters: B batch, T new tokens, S attended slots, D hidden, N query heads, K key-value heads, H head width,
F MLP width, L layers, V vocabulary. The math follows Touvron et al. 2023 (Llama 2): pre-norm blocks of grouped-query
attention with rotary positions and a SwiGLU MLP. Other families are flags of `LlamaConfig`, read while tracing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from jaxft.llama.attention import Segments, Visible, attend, capped, packed_mask, splash_fits
from jaxft.llama.cache import Cache
from jaxft.llama.config import LINEARS, LlamaConfig
from jaxft.llama.rope import rotate
from jaxft.llama.sharding import Dot, linear_spec, output_spec, parameter_spec
from jaxft.llama.sight import Sight, local_layers, sight_of, sights
from jaxft.sharding import Layout, on_mesh, reshard

Remat = Literal["nothing", "dots", "full"]
REMAT_POLICIES: dict[Remat, Any] = {
    "nothing": None,  # store every intermediate
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # store matmul outputs, recompute the rest
    "full": jax.checkpoint_policies.nothing_saveable,  # store block inputs alone
}
ACTIVATIONS = {"silu": jax.nn.silu, "gelu_pytorch_tanh": jax.nn.gelu}


@dataclass(frozen=True)
class Compute:
    """Settings of the forward pass.

    dtype: of activations. remat: a key of REMAT_POLICIES. scan: True scans the layers, False unrolls them.
    unroll_decoding: True unrolls them in generation in both cases. layout: of arrays on a mesh. attention: "reference",
    or "splash" for packed rows of a length that the kernel supports; generation always takes the reference.
    """

    dtype: str = "float32"
    remat: Remat = "nothing"
    scan: bool = True
    unroll_decoding: bool = False
    layout: Layout = Layout()
    attention: str = "reference"


class Adapter(Protocol):
    """A trainable change of one stacked linear. Called on one layer's slice, it replaces `dot(x, kernel)`."""

    def __call__(self, x: Array, kernel: Array, key: Array | None, dot: Dot) -> Array: ...


Adapters = Mapping[str, Any]  # linear name -> Adapter, a pytree whose arrays lead with the layer axis


class Layers(nnx.Module):
    """All blocks, stacked: every array leads with the layer axis. Kernels are [L, in, out]."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs, dtype: str) -> None:
        def kernel(name: str) -> nnx.Param:
            shape = (config.num_layers, *config.linear_shapes[name])
            std = 0.02 if name not in ("o", "down") else 0.02 / (2 * config.num_layers) ** 0.5
            return nnx.Param((std * jax.random.normal(rngs.params(), shape)).astype(dtype))

        self.q, self.k, self.v, self.o = kernel("q"), kernel("k"), kernel("v"), kernel("o")
        self.gate, self.up, self.down = kernel("gate"), kernel("up"), kernel("down")
        for name, width in config.vectors.items():  # the identity at the start
            start = 0 if config.norm_plus_one or name.endswith("_bias") else 1
            setattr(self, name, nnx.Param(jnp.full((config.num_layers, width), start, dtype)))


class Llama(nnx.Module):
    """The parameters of a Llama model with its architecture and compute settings; a pytree, so jax.* apply to it."""

    def __init__(
        self, config: LlamaConfig, *, rngs: nnx.Rngs, dtype: str = "float32", compute: Compute = Compute()
    ) -> None:
        self.config, self.compute = config, compute
        size = (config.vocab_size, config.hidden_size)
        self.embed = nnx.Param((0.02 * jax.random.normal(rngs.params(), size)).astype(dtype))
        self.layers = Layers(config, rngs=rngs, dtype=dtype)
        self.norm = nnx.Param(jnp.full(config.hidden_size, 0 if config.norm_plus_one else 1, dtype))
        head = None if config.tied_head else 0.02 * jax.random.normal(rngs.params(), size[::-1])
        self.head = nnx.Param(head.astype(dtype)) if head is not None else None

    def parameters(self) -> Iterator[tuple[str, str, nnx.Param]]:
        """(owner, name, parameter) of every parameter; the owner is "layers" for those stacked over layers, else ""."""
        for owner, module in (("", self), ("layers", self.layers)):
            for name, value in vars(module).items():
                if isinstance(value, nnx.Param):
                    yield owner, name, value

    def placed(self, stored: str) -> Llama:
        """A copy of the container, its parameters resharded to the specs of `stored`, "hidden" or "trained"."""
        model = jax.tree.map(lambda a: a, self)
        for owner, name, parameter in model.parameters():
            parameter.set_value(reshard(parameter[...], parameter_spec(self.compute.layout, owner, name, stored)))
        return model


def rms_norm(x: Float[Array, "... D"], weight: Float[Array, " D"], config: LlamaConfig) -> Float[Array, "... D"]:
    """x / sqrt(mean(x^2) + eps) * weight, computed in float32 (Zhang and Sennrich 2019)."""
    x32, factor = x.astype(jnp.float32), weight.astype(jnp.float32)
    normal = x32 * lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + config.rms_norm_eps)
    return ((factor + 1 if config.norm_plus_one else factor) * normal).astype(x.dtype)


def block(
    layer: Layers,
    config: LlamaConfig,
    layout: Layout,
    x: Float[Array, "B T D"],
    sight: Sight,
    *,
    adapters: Adapters | None = None,
    key: Array | None = None,
    cache: Cache | None = None,
    index: Any = None,
    probes: Mapping[str, Array] | None = None,
) -> tuple[Float[Array, "B T D"], Cache | None, dict[str, Array]]:
    """One transformer block on one layer's slice of the parameters.

    adapters: this layer's slice of the trainable changes, by linear. key: randomness for their dropout.
    cache, index: the cache, to which this layer, number `index`, adds its keys and values before it attends to all.
    probes: zeros added to every linear's output; their gradients are the output gradients of the linears.
    Returns the new hidden states, the written cache, and the input of every linear by input space.
    """
    batch, length, _ = x.shape
    dtype, vectors = x.dtype, config.vectors

    def linear(name: str, value: Array) -> Array:
        kernel, adapter = getattr(layer, name)[...], (adapters or {}).get(name)
        dot = Dot(linear_spec(layout, name), output_spec(layout, name))
        if adapter is None:
            output = dot(value, kernel)
        else:
            output = adapter(
                value, kernel, None if key is None else jax.random.fold_in(key, tuple(LINEARS).index(name)), dot
            )
        if name in config.biased:
            output = output + reshard(getattr(layer, f"{name}_bias")[...], PartitionSpec(dot.result[-1])).astype(dtype)
        return output if probes is None else output + probes[name]

    def norm(value: Array, name: str, axis: Any = None) -> Array:
        """The norm of that name, if the family has it. axis: mesh axis of the features."""
        if name not in vectors:
            return value
        return rms_norm(value, reshard(getattr(layer, name)[...], PartitionSpec(axis)), config)

    def heads(name: str, count: int) -> Array:
        """Queries, keys or values [B, T, count, H], normalised."""
        value = linear(name, attention_input)
        if config.qk_norm == "all":
            value = norm(value, f"{name}_norm", output_spec(layout, name)[-1])
        value = value.reshape(batch, length, count, config.head_dim)
        return norm(value, f"{name}_norm") if config.qk_norm == "heads" else value

    def residual(value: Array) -> Array:
        return value if config.residual_scale == 1.0 else value * config.residual_scale

    # Attention.
    attention_input = norm(x, "attention_norm")
    q, k, v = heads("q", config.num_heads), heads("k", config.num_kv_heads), heads("v", config.num_kv_heads)
    q, k, v = rotate(q, sight.rotation), rotate(k, sight.rotation).swapaxes(1, 2), v.swapaxes(1, 2)
    if cache is not None:
        cache = cache.write(index, k, v)
        k, v = cache.layer(index)
    attended = attend(q, k.astype(dtype), v.astype(dtype), sight.visible, layout, config.query_scale, config.score_cap)
    attention_output = attended.reshape(batch, length, config.num_heads * config.head_dim)
    x = x + residual(norm(linear("o", attention_output), "attention_post_norm"))

    # MLP.
    mlp_input = norm(x, "mlp_norm")
    mlp_output = ACTIVATIONS[config.activation](linear("gate", mlp_input)) * linear("up", mlp_input)
    x = x + residual(norm(linear("down", mlp_output), "mlp_post_norm"))

    inputs = {
        "attention_input": attention_input,
        "attention_output": attention_output,
        "mlp_input": mlp_input,
        "mlp_output": mlp_output,
    }
    return x, cache, inputs


def embed(model: Llama, tokens: Int[Array, "B T"]) -> Float[Array, "B T D"]:
    """Token embeddings in the compute dtype."""
    layout, dtype, scale = model.compute.layout, model.compute.dtype, model.config.embedding_scale
    if not on_mesh():
        rows = model.embed[...][tokens].astype(dtype)
    else:
        table = reshard(model.embed[...].astype(dtype), layout.spec(None, "tensor"))
        rows = table.at[tokens].get(out_sharding=layout.spec("batch", None, "tensor"))
        rows = reshard(rows, layout.spec("batch", None, None))
    return rows if scale == 1.0 else rows * scale


def logits(model: Llama, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
    """Final norm and output head, in float32."""
    layout, config = model.compute.layout, model.config
    x = rms_norm(x, reshard(model.norm[...], PartitionSpec()), config)
    head = model.embed[...].T if model.head is None else model.head[...]
    head = reshard(head.astype(x.dtype), layout.spec(None, "tensor"))
    if on_mesh():
        result = layout.spec("batch", None, "tensor")
        values = jnp.matmul(x, head, preferred_element_type=jnp.float32, out_sharding=result)
    else:
        rows = x.reshape(-1, x.shape[-1])  # as in Dot
        values = jnp.matmul(rows, head, preferred_element_type=jnp.float32).reshape(*x.shape[:-1], -1)
    if config.logit_divisor != 1.0:
        values = values / config.logit_divisor
    return capped(values, config.logit_cap)


def layer_slice(tree: Any, index: int) -> Any:
    """One layer of a pytree whose arrays lead with the layer axis."""
    return jax.tree.map(lambda a: lax.index_in_dim(a, index, keepdims=False), tree)


def run_layers(
    model: Llama,
    x: Float[Array, "B T D"],
    positions: Int[Array, "B T"],
    visible: Visible,
    *,
    adapters: Adapters | None = None,
    key: Array | None = None,
    cache: Cache | None = None,
) -> tuple[Float[Array, "B T D"], Cache | None]:
    """Run all blocks, scanned over the layer axis or unrolled, under the model's remat policy."""
    config, compute = model.config, model.compute
    both = sights(config, positions, visible, 0 if cache is None else cache.slot)
    keys = None if key is None else jax.random.split(key, config.num_layers)

    def body(carry: tuple[Array, Cache | None], per_layer: tuple) -> tuple[tuple[Array, Cache | None], None]:
        x, cache = carry
        index, layer, layer_adapters, layer_key, local = per_layer
        changes = {"adapters": layer_adapters, "key": layer_key, "cache": cache, "index": index}
        x, cache, _ = block(layer, config, compute.layout, x, sight_of(both, local), **changes)
        return (x, cache), None

    if compute.remat != "nothing" and cache is None:  # with a cache, nothing is differentiated
        body = jax.checkpoint(body, policy=REMAT_POLICIES[compute.remat])
    per_layer = (model.layers, adapters, keys, local_layers(config))
    if not compute.scan or cache is not None and isinstance(cache.keys, tuple):
        for index in range(config.num_layers):
            (x, cache), _ = body((x, cache), (index, *layer_slice(per_layer, index)))
    else:
        (x, cache), _ = lax.scan(body, (x, cache), (jnp.arange(config.num_layers), *per_layer))
    return x, None if cache is None else cache._replace(slot=cache.slot + x.shape[1])


def hidden(
    model: Llama,
    tokens: Int[Array, "B T"],
    positions: Int[Array, "B T"],
    segments: Int[Array, "B T"],
    *,
    adapters: Adapters | None = None,
    key: Array | None = None,
) -> Float[Array, "B T D"]:
    """Hidden states of packed rows after the last block. Each token attends to its own segment only."""
    by_segments = model.compute.attention == "splash" and splash_fits(model.config, tokens.shape[1])
    visible = Segments(segments) if by_segments else packed_mask(segments)
    x, _ = run_layers(model, embed(model, tokens), positions, visible, adapters=adapters, key=key)
    return x


def forward(
    model: Llama,
    tokens: Int[Array, "B T"],
    positions: Int[Array, "B T"],
    segments: Int[Array, "B T"],
    *,
    adapters: Adapters | None = None,
    key: Array | None = None,
) -> Float[Array, "B T V"]:
    """Next-token logits of packed rows."""
    return logits(model, hidden(model, tokens, positions, segments, adapters=adapters, key=key))

"""Second moments of the inputs and output gradients of a Llama's linears, one block in device memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxft.llama.attention import packed_mask
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Layers, Llama, block, embed, layer_slice, logits
from jaxft.llama.sharding import output_spec
from jaxft.llama.sight import local_layers, sight_of, sights
from jaxft.sharding import Layout, on_mesh, reshard, select, shard_rows
from jaxft.subspace.moments import LayerMoments, Moment, accumulate

Batch = Mapping[str, Any]  # arrays [B, T]


@partial(jax.jit, static_argnames=("config", "layout"))
def run_block(
    config: LlamaConfig, layout: Layout, layer: Layers, x: Array, batch: Batch, local: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """One block's output and the inputs of its linears, by input space. local: the layer's in `local_layers`."""
    sight = sight_of(sights(config, batch["positions"], packed_mask(batch["segments"])), local)
    with jax.default_matmul_precision("highest"):
        out, _, inputs = block(layer, config, layout, x, sight)
    return out, inputs


@partial(jax.jit, static_argnames=("config", "layout"))
def run_block_backward(
    config: LlamaConfig,
    layout: Layout,
    layer: Layers,
    x: Array,
    batch: Batch,
    gradient: Array,
    local: Array | None = None,
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """(gradient of the block's input, inputs of its linears, gradients of their outputs)."""
    sight = sight_of(sights(config, batch["positions"], packed_mask(batch["segments"])), local)
    lead = x.shape[:2]
    zeros = {
        name: reshard(jnp.zeros((*lead, shape[1]), x.dtype), output_spec(layout, name))
        for name, shape in config.linear_shapes.items()
    }

    def run(x: Array, probes: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        out, _, inputs = block(layer, config, layout, x, sight, probes=probes)
        return out, inputs

    with jax.default_matmul_precision("highest"):
        _, pull, inputs = jax.vjp(run, x, zeros, has_aux=True)
        back, outputs = pull(gradient)
    return back, inputs, outputs


@jax.jit
def sampled_loss_gradient(model: Llama, x: Array, batch: Batch, key: Array, temperature: float) -> Array:
    """Gradient, with respect to the last block's output, of the summed -T log p(label), labels drawn from p itself.

    p = softmax(logits / T). The second moments of this gradient are the quadratic form of T^2 KL(base || tuned) between
    two such p, the loss of distillation (Hinton et al. 2015, section 2.1). If the base is certain of a token, the KL at
    T = 1 is flat, and its second moments do not show how close the second-best token may come.
    """

    def loss(x: Array) -> Array:
        log_p = jax.nn.log_softmax(logits(model, x) / temperature)
        labels = jax.random.categorical(key, jax.lax.stop_gradient(log_p))
        return -temperature * jnp.where(batch["segments"] > 0, select(log_p, labels), 0.0).sum()

    with jax.default_matmul_precision("highest"):
        return jax.grad(loss)(x)


def stream_moments(
    model: Llama,
    fit: Sequence[Batch],
    heldout: Sequence[Batch],
    *,
    two_sided: bool,
    seed: int,
    temperature: float = 1.0,
) -> Iterator[tuple[int, LayerMoments]]:
    """Yield (layer, its moments), one layer at a time; the last layer first if two-sided.

    fit, heldout: packed rows with "tokens", "positions", "segments" (0 = padding, not counted).
    seed, temperature: of the labels for output moments, see `sampled_loss_gradient`.
    The device holds one block's moments; the host (on a mesh: the devices, split by rows) holds the hidden states of
    all reference tokens at one layer, or at every layer if two-sided (the backward pass needs them).
    """
    config, layout = model.config, model.compute.layout
    batches: list[Batch] = [shard_rows(batch, layout) for batch in (*fit, *heldout)]
    local = local_layers(config)
    park = (lambda x: x) if on_mesh() else np.asarray
    states = [park(embed(model, batch["tokens"])) for batch in batches]

    def gather(index: int, results: Iterator[tuple[dict, dict]]) -> LayerMoments:
        sums: dict[str, dict[str, Moment]] = {"inputs": {}, "heldout": {}, "outputs": {}}
        for number, (inputs, outputs) in enumerate(results):
            weights = (batches[number]["segments"] > 0).astype(jnp.float32)
            group = "inputs" if number < len(fit) else "heldout"
            for into, named in ((group, inputs), ("outputs", outputs if group == "inputs" else {})):
                for name, x in named.items():
                    previous = sums[into].get(name, None) or Moment.zeros(x.shape[-1], layout.moment())
                    sums[into][name] = accumulate(previous, x, weights)
        return LayerMoments(**{g: {n: m.mean() for n, m in named.items()} for g, named in sums.items()})

    def forward(index: int) -> Iterator[tuple[dict, dict]]:
        layer, kind = layer_slice((model.layers, local), index)
        for number, batch in enumerate(batches):
            out, inputs = run_block(config, layout, layer, states[number], batch, kind)
            states[number] = park(out)
            yield inputs, {}

    if not two_sided:
        for index in range(config.num_layers):
            yield index, gather(index, forward(index))
        return

    history: list[list[Any]] = []
    for index in range(config.num_layers):
        history.append(list(states))
        for _ in forward(index):
            pass
    key = jax.random.key(seed)
    gradients = [
        park(sampled_loss_gradient(model, states[n], batch, jax.random.fold_in(key, n), temperature))
        for n, batch in enumerate(batches)
    ]

    def backward(index: int) -> Iterator[tuple[dict, dict]]:
        layer, kind = layer_slice((model.layers, local), index)
        for number, batch in enumerate(batches):
            back, inputs, outputs = run_block_backward(
                config, layout, layer, history[index][number], batch, gradients[number], kind
            )
            gradients[number] = park(back)
            yield inputs, outputs

    for index in reversed(range(config.num_layers)):
        yield index, gather(index, backward(index))
        history.pop()

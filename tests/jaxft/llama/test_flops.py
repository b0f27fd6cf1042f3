"""The formulas against the matrix products that JAX really traces, and against published figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from experiments.config_loader import load_experiment
from jaxft.llama import flops
from jaxft.llama import model as llama
from jaxft.llama.config import INPUT_SPACES, SHAPES, LlamaConfig
from jaxft.llama.model import Compute
from jaxft.methods import (
    KL,
    Corda,
    Dora,
    Full,
    Galore,
    GradientProjection,
    Lora,
    LoraNull,
    Method,
    Neurons,
    NullSpaceLora,
    Osf,
)
from jaxft.methods.base import Statistics
from jaxft.planning.programs import abstract_base, step
from jaxft.subspace.basis import Basis
from jaxft.subspace.low_rank_moment import LowRankMoment, is_full
from jaxft.subspace.moments import Moment, accumulate
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step

LLAMA_2_7B = LlamaConfig(32_000, 4096, 11_008, 32, 32, 32, 128, 4096)
SMALL = LlamaConfig(61, 32, 44, 3, 4, 2, 8, 64)
ROWS, LENGTH = 2, 10
RANKS = {"attention_input": 8, "attention_output": 20, "mlp_input": 8, "mlp_output": 4}


def traced(jaxpr: Any) -> int:
    """Twice the multiplications of every dot_general in a jaxpr and all it calls."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            left, (out,) = equation.invars[0].aval, equation.outvars
            total += 2 * math.prod(left.shape[i] for i in contract) * math.prod(out.aval.shape)
        repeats = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += repeats * sum(traced(inner) for value in equation.params.values() for inner in jaxprs(value))
    return total


def jaxprs(value: Any) -> Iterator[Any]:
    """The jaxprs that a parameter of an equation holds."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from jaxprs(item)
    elif hasattr(value, "eqns"):
        yield value


def count(function: Any, *arguments: Any) -> int:
    """Operations of a function as traced on abstract arguments; attention is traced without its mask."""
    return traced(jax.make_jaxpr(function)(*arguments).jaxpr)


def masked_away(config: LlamaConfig, rows: int, length: int) -> int:
    """What a forward pass traces of attention beyond the causal pairs."""
    full = 4 * config.num_layers * config.num_heads * config.head_dim * rows * length**2
    return full - flops.attention(config, rows, length)


def abstract_model(config: LlamaConfig) -> llama.Llama:
    return nnx.eval_shape(lambda: llama.Llama(config, rngs=nnx.Rngs(0)))


def abstract_batch() -> dict[str, jax.ShapeDtypeStruct]:
    kinds = {**dict.fromkeys(("tokens", "positions", "segments", "targets"), jnp.int32), "weights": jnp.float32}
    return {name: jax.ShapeDtypeStruct((ROWS, LENGTH), kind) for name, kind in kinds.items()}


def abstract_subspaces(config: LlamaConfig, rank: int) -> Statistics:
    layers, shapes = config.num_layers, config.linear_shapes
    bases, inputs = {}, {}

    def moment(width: int) -> Any:
        if is_full(rank, width):
            return jnp.zeros((layers, width, width))
        directions, values = jnp.zeros((layers, width, rank)), jnp.zeros((layers, rank))
        return LowRankMoment(directions, values, jnp.zeros((layers, width)))

    for space, names in INPUT_SPACES.items():
        width = shapes[names[0]][0]
        complement = RANKS[space] > width // 2
        stored = min(RANKS[space], width - RANKS[space])
        bases[space] = Basis(jnp.zeros((layers, width, stored)), (RANKS[space],) * layers, complement)
        inputs[space] = moment(width)
    outputs = {name: moment(shape[1]) for name, shape in shapes.items()}
    return Statistics(bases, inputs, outputs)


@pytest.mark.parametrize("tied", [False, True])
def test_forward_is_what_is_traced(tied: bool) -> None:
    config = LlamaConfig(61, 32, 44, 3, 4, 2, 6, 64, tied_head=tied)
    batch = abstract_batch()
    found = count(llama.forward, abstract_model(config), batch["tokens"], batch["positions"], batch["segments"])
    assert found == flops.forward(config, ROWS, LENGTH) + masked_away(config, ROWS, LENGTH)
    assert flops.forward_per_token(config, LENGTH) * ROWS * LENGTH == flops.forward(config, ROWS, LENGTH)


@pytest.mark.parametrize(
    "method",
    [
        Full(()),
        KL(()),
        Galore((), rank=4),
        Osf((), targets=("k", "up", "down")),
        GradientProjection((), neurons=Neurons(0.5, "importance"), targets=("q",)),
        Lora((), rank=4),
        Lora((), rank=3, targets=("q", "down")),
        Dora((), rank=3, targets=("q", "down")),
        LoraNull((), rank=3, targets=("q", "down")),
        Corda((), rank=3, targets=("k", "up")),
        NullSpaceLora((), rank=3),
        GradientProjection(()),
        GradientProjection((), updates=False, targets=("v", "gate", "down")),
        GradientProjection((), gradients=0.3),
        GradientProjection((), gradients=0.0, updates=False),
        GradientProjection((), kfac_strength=0.1),
        GradientProjection((), kfac_strength=0.1, kfac_outputs=True, targets=("k", "up", "o")),
        GradientProjection((), kfac_strength=0.1, kfac_outputs=True, kfac_rank=3, targets=("q", "down")),
        GradientProjection(
            (), kfac_strength=0.1, kfac_outputs=True, kfac_rank=32, targets=("q", "up", "down")
        ),  # some are whole
    ],
    ids=lambda method: f"{method.kind}-{len(getattr(method, 'targets', ''))}",
)
def test_a_training_step_is_what_is_traced(method: Method) -> None:
    training, base = Training(), abstract_model(SMALL)
    given = abstract_subspaces(SMALL, method.moment_rank)
    constants = jax.eval_shape(lambda base: method.constants(replace(given, base=base)), base)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(partial(initial_state, method, training), base, constants, key)
    batch: dict[str, Any] = abstract_batch()
    if "reference" in method.reads:
        batch["reference"] = abstract_batch()
    found = count(make_step(method, training), state, base, constants, batch, 0.1)
    wanted = method.step_flops(SMALL, ROWS, LENGTH, RANKS).total + 3 * masked_away(SMALL, ROWS, LENGTH)
    if isinstance(method, KL):  # four more passes, and both models' logits once more: the backward pass repeats them
        wanted += 4 * masked_away(SMALL, ROWS, LENGTH) + 2 * ROWS * LENGTH * flops.head(SMALL)
    if isinstance(method, Galore):  # decompositions are no matrix products
        wanted -= method.refresh_flops(SMALL)
    assert found == wanted


def test_moments_are_what_is_traced() -> None:
    found = 0
    for names in INPUT_SPACES.values():
        width = SMALL.linear_shapes[names[0]][0]
        x, weights = (jax.ShapeDtypeStruct((ROWS, LENGTH, *rest), jnp.float32) for rest in ((width,), ()))
        found += count(accumulate, Moment.zeros(width, PartitionSpec()), x, weights)
    assert SMALL.num_layers * found == flops.moments(SMALL, ROWS * LENGTH)


def test_generation_adds_up_to_one_pass_over_all_tokens() -> None:
    prompt, new = 7, 5
    whole = flops.prefill(SMALL, ROWS, prompt) + flops.decode(SMALL, ROWS, prompt, new)
    heads = ROWS * new * flops.head(SMALL)
    assert whole == flops.blocks(SMALL, ROWS, prompt + new - 1) + heads
    steps = [flops.decode_per_token(SMALL, prompt + i) for i in range(new - 1)]
    assert flops.decode(SMALL, ROWS, prompt, new) == ROWS * sum(steps)
    assert flops.decode(SMALL, ROWS, prompt, 1) == 0


def test_llama_2_7b_takes_two_operations_for_each_weight_and_token() -> None:
    matrices = LLAMA_2_7B.parameter_count - 32_000 * 4096 - 65 * 4096  # without the embedding and the norms
    assert flops.linears(LLAMA_2_7B) + flops.head(LLAMA_2_7B) == 2 * matrices
    assert flops.attention(LLAMA_2_7B, 1, 4096) / 4096 == 2 * 32 * 4096 * 4097


def test_galore_of_llama_2_7b_by_hand() -> None:
    method, linears = Galore(rank=8, gap=200), 32 * (4 * 4096**2 + 3 * 4096 * 11_008)
    one = 4 * 22 * 4096**3 + 3 * (14 * 11_008 * 4096**2 + 8 * 4096**3)
    assert method.refresh_flops(LLAMA_2_7B) == 32 * one // 200
    assert method.flops(LLAMA_2_7B, 1, 1, {}) - method.refresh_flops(LLAMA_2_7B) == 4 * 8 * linears


def test_projection_of_llama_2_7b_by_hand() -> None:
    method, linears = GradientProjection(), 32 * (4 * 4096**2 + 3 * 4096 * 11_008)
    assert method.projection_flops(LLAMA_2_7B, dict.fromkeys(INPUT_SPACES, 512)) == 2 * 4 * 512 * linears


def test_what_the_recommended_projection_adds_at_7b() -> None:
    """At most 3 % of a step of 16,384 tokens and 2 GiB of state in all, with 512 protected directions."""
    experiment = load_experiment(str(Path(__file__).parents[3] / "configs" / "llama2_7b_hotel.py"))
    config, method = SHAPES["llama2_7b"], experiment.methods["projection"]
    assert isinstance(method, GradientProjection) and method.kfac_outputs and method.kfac_rank and method.kfac_strength
    added = method.flops(config, 4, 4096, dict.fromkeys(INPUT_SPACES, 512))
    assert added / Full().step_flops(config, 4, 4096).total <= 0.03
    base = abstract_base(config, Compute(dtype="bfloat16"), "bfloat16")
    assert step("projection", method, Training(), base, 512, lower=False).held["constants"] <= 2 * 2**30

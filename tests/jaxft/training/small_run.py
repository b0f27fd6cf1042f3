"""A small random Llama, packed rows, and its subspaces: what the tests of training and methods start from."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxft import methods
from jaxft.data.packing import Rows
from jaxft.llama.capture import stream_moments
from jaxft.llama.config import INPUT_SPACES
from jaxft.llama.model import Llama
from jaxft.methods.base import Method, Statistics
from jaxft.subspace.basis import directions, rank_for_energy, stack
from jaxft.training.config import Training
from tests.jaxft.llama.small import random_model

VOCABULARY = 61
Batch = dict[str, np.ndarray]

#: One entry of each kind, with all that a resumed run has to restore; few targets, because compiling takes longest.
#: Safe LoRA and SafeMERGE train as LoRA does.
METHODS: dict[str, methods.Method] = {
    "full": methods.Full(()),
    "l2sp": methods.L2SP(()),
    "ewc": methods.EWC(()),
    "kl": methods.KL(()),
    "interpolated": methods.Interpolated(()),
    "grafted": methods.Grafted(()),
    "frozen_layers": methods.FrozenLayers((), layers=(0, 0)),
    "galore": methods.Galore((), rank=2, gap=3),
    "osf": methods.Osf((), targets=("q", "down")),
    "lora": methods.Lora((), rank=4, dropout=0.2, targets=("q", "down")),
    "dora": methods.Dora((), rank=4, targets=("q", "down")),
    "lora_null": methods.LoraNull((), rank=4, targets=("q", "down")),
    "corda": methods.Corda((), rank=4, targets=("q", "down")),
    "null_space_lora": methods.NullSpaceLora((), rank=4, targets=("q", "down")),
    "gradient_projection": methods.GradientProjection((), kfac_strength=0.1, kfac_outputs=True, targets=("q", "down")),
    "neurons": methods.GradientProjection((), targets=("q", "down"), neurons=methods.Neurons(0.3, "importance")),
}
TRAINING = Training(
    steps=10,
    batch_rows=4,
    row_length=12,
    warmup=2,
    weight_decay=0.1,
    beta1=0.8,
    beta2=0.97,
    log_every=3,
    checkpoint_every=5,
)


@cache
def base() -> Llama:
    """A grouped-query Llama of width 32 with two layers."""
    with tempfile.TemporaryDirectory() as folder:
        return random_model(Path(folder), "grouped")


def rows(count: int = 12, length: int = 12, seed: int = 0) -> Rows:
    """Noise: two segments a row with unequal lengths, padding behind, some targets without weight."""
    random = np.random.RandomState(seed)
    shape = (count, length)
    positions, segments = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row in range(count):
        first, second = random.randint(2, length - 2), random.randint(1, 3)
        positions[row, : first + second] = [*range(first), *range(second)]
        segments[row, : first + second] = [1] * first + [2] * second
    real = segments > 0
    tokens, targets = (np.where(real, random.randint(3, VOCABULARY, shape), 0).astype(np.int32) for _ in range(2))
    return Rows(tokens, positions, segments, targets, (real & (random.rand(*shape) < 0.7)).astype(np.float32))


def batch(of: Rows) -> Batch:
    """All rows at once."""
    return {name: getattr(of, name) for name in ("tokens", "positions", "segments", "targets", "weights")}


def batch_for(method: Method, of: Rows) -> dict[str, Any]:
    """All rows at once, and where the method reads reference text as many rows of it."""
    reference = {"reference": batch(rows(*of.tokens.shape, seed=77))} if "reference" in method.reads else {}
    return {**batch(of), **reference}


def subspaces(model: Llama, reference: Batch, energy: float, *, two_sided: bool = False) -> Statistics:
    """Bases of fixed energy and moments, measured on one batch."""
    text = {name: reference[name] for name in ("tokens", "positions", "segments")}
    layers = [moments for _, moments in sorted(stream_moments(model, [text], [text], two_sided=two_sided, seed=0))]
    bases = {}
    for space in INPUT_SPACES:
        protected, free = [], []
        for layer in layers:
            values, vectors = (np.asarray(a) for a in directions(jnp.asarray(layer.inputs[space])))
            rank = rank_for_energy(values, energy)
            protected.append(vectors[:, :rank])
            free.append(vectors[:, rank:])
        bases[space] = stack(protected, free)
    return Statistics(
        bases,
        {space: np.stack([layer.inputs[space] for layer in layers]) for space in INPUT_SPACES},
        {name: np.stack([layer.outputs[name] for layer in layers]) for name in layers[0].outputs},
    )


def random_subspaces(model: Llama) -> Statistics:
    """Bases that protect half of each space, moments and Fisher information of the right shapes, from numpy: quick."""
    random, shapes, layers = np.random.RandomState(5), model.config.linear_shapes, model.config.num_layers

    def moments(width: int) -> np.ndarray:
        x = random.standard_normal((layers, 2 * width, width)).astype(np.float32)
        return np.einsum("ltd,lte->lde", x, x) / (2 * width)

    inputs = {space: moments(shapes[linears[0]][0]) for space, linears in INPUT_SPACES.items()}
    bases = {}
    for space, moment in inputs.items():
        vectors, half = np.linalg.eigh(moment)[1], moment.shape[-1] // 2
        bases[space] = stack(list(vectors[:, :, half:]), list(vectors[:, :, :half]))
    outputs = {name: moments(shape[1]) for name, shape in shapes.items()}
    fisher = jax.tree.map(lambda a: jnp.asarray(random.random(a.shape), jnp.float32), model)
    return Statistics(bases, inputs, outputs, fisher=fisher, base=model)


def build(method: Method) -> tuple[Method, Any]:
    """(method, its constants for the small base)."""
    return method, method.constants(random_subspaces(base()))

"""jaxft's contestants: its own training step, calibration and generation, unchanged, and its imports."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.base_model import compute_settings
from experiments.benchmarks.contest import Contestant, Opened
from experiments.benchmarks.settings import Benchmark
from experiments.config import Model
from experiments.runs.calibrate import stacked
from jaxft.llama import flops
from jaxft.llama.capture import stream_moments
from jaxft.llama.config import INPUT_SPACES
from jaxft.llama.generate import generate
from jaxft.llama.model import Llama, embed, packed_mask, run_layers
from jaxft.methods import Method, Protecting, Statistics
from jaxft.methods.base import REFERENCE
from jaxft.sharding import shard_rows
from jaxft.subspace.basis import Basis
from jaxft.training.config import Training
from jaxft.training.memory import planned_bytes
from jaxft.training.step import initial_state, make_step

LEARNING_RATE = 1e-5
#: The repository's root, for a jaxft that runs from its source folder.
ROOT = Path(__file__).resolve().parents[2]
#: Fresh processes that are timed from start to end: arguments of Python.
STARTS = {"import": ("-c", "import jaxft.llama.model"), "help": ("-m", "experiments.start", "--help")}


def contestants(settings: Benchmark, part: str) -> list[Contestant]:
    """The contestants of one part."""
    config, rows, length = settings.config, settings.batch_rows, settings.real_length
    add = partial(Contestant, part, side="jaxft", unit="tokens", times=settings.steps)
    if part == "train":
        return [
            add(
                name,
                amount=settings.tokens,
                flops=settings.method(name).step_flops(config, rows, length, settings.ranks).total,
                open=partial(_training, settings, name),
            )
            for name in settings.trained
        ]
    if part == "import":  # the first process of a benchmark may find a cold disk cache
        return [
            Contestant(part, work, "jaxft", "starts", 1, None, partial(start, command), warm=False)
            for work, command in STARTS.items()
        ]
    if part == "calibration":
        blocks, moments = flops.blocks(config, rows, length), flops.moments(config, settings.tokens)
        return [
            add("forward", amount=settings.tokens, flops=blocks, open=partial(_forward, settings)),
            add("moments", amount=settings.tokens, flops=blocks + moments, open=partial(_moments, settings)),
        ]
    shape = (config, settings.prompts, settings.prompt_length)
    work = flops.prefill(*shape) + flops.decode(*shape, settings.new_tokens)
    amount = settings.prompts * settings.new_tokens
    return [add("greedy", amount=amount, flops=work, open=partial(_generation, settings), times=1)]


def batch(settings: Benchmark) -> dict[str, np.ndarray]:
    """Random tokens, one text per row, padded at the end; every token except a text's last predicts the next."""
    shape, real = (settings.batch_rows, settings.row_length), settings.real_length
    inside = np.broadcast_to(np.arange(settings.row_length) < real, shape)
    drawn = np.random.default_rng(0).integers(3, settings.config.vocab_size, shape)
    tokens = np.where(inside, drawn, 0).astype(np.int32)
    weights = np.zeros(shape, np.float32)
    weights[:, : real - 1] = 1
    return {
        "tokens": tokens,
        "positions": np.where(inside, np.arange(settings.row_length), 0).astype(np.int32),
        "segments": inside.astype(np.int32),
        "targets": np.where(weights > 0, np.roll(tokens, -1, axis=1), 0).astype(np.int32),
        "weights": weights,
    }


def prompts(settings: Benchmark) -> np.ndarray:
    """Random prompts of one length, [prompts, prompt_length]."""
    shape = (settings.prompts, settings.prompt_length)
    return np.random.default_rng(1).integers(3, settings.config.vocab_size, shape)


def model(settings: Benchmark) -> Llama:
    config = settings.config
    compute = compute_settings(Model(compute_dtype=settings.dtype, remat=settings.remat), config)
    return Llama(config, rngs=nnx.Rngs(0), dtype=settings.dtype, compute=compute)


def random_statistics(settings: Benchmark, method: Method, base: Llama) -> Statistics:
    """Random statistics: speed depends on no direction or importance. Bases are empty if nothing is protected."""
    config, bases = settings.config, {}
    rank = settings.rank if isinstance(method, Protecting) and method.energy else 0
    for number, (space, names) in enumerate(INPUT_SPACES.items()):
        shape = (config.num_layers, config.linear_shapes[names[0]][0], max(rank, 1))
        vectors = jnp.linalg.qr(jax.random.normal(jax.random.key(number), shape))[0]
        bases[space] = Basis(vectors if rank else 0 * vectors, (rank,) * config.num_layers)

    def moments(group: str, widths: Mapping[str, int]) -> dict[str, Any]:
        if group not in method.reads:
            return {}
        drawn, layers = np.random.default_rng(0), config.num_layers
        return {
            name: stacked([_moment(drawn, width) for _ in range(layers)], method.moment_rank, (0,) * layers)
            for name, width in widths.items()
        }

    inputs = {space: config.linear_shapes[names[0]][0] for space, names in INPUT_SPACES.items()}
    outputs = {name: width for name, (_, width) in config.linear_shapes.items()}
    fisher = jax.tree.map(lambda a: jnp.ones(a.shape), base) if "fisher" in method.reads else None
    read = moments("input_moments", inputs), moments("output_moments", outputs)
    return Statistics(bases, *read, fisher=fisher, base=base)


def _moment(drawn: np.random.Generator, width: int) -> np.ndarray:
    """The second moment of random features, [width, width]."""
    features = drawn.standard_normal((2 * width, width), np.float32)
    return features.T @ features / len(features)


@contextmanager
def _training(settings: Benchmark, name: str) -> Iterator[Opened]:
    earlier_peak = _peak_bytes()
    base, method = model(settings), settings.method(name)
    training = Training(batch_rows=settings.batch_rows, row_length=settings.row_length, steps=1000)
    statistics = random_statistics(settings, method, base) if method.reads else Statistics()
    constants = method.constants(statistics, base.compute.layout, base.compute.dtype)
    state = initial_state(method, training, base, constants, jax.random.key(0))
    read = {"reference": batch(settings)} if REFERENCE in method.reads else {}
    step, rows = make_step(method, training), shard_rows({**batch(settings), **read}, base.compute.layout)
    trained = sum(leaf.size for leaf in jax.tree.leaves(state.trainable))

    def run(times: int) -> None:
        nonlocal state
        for _ in range(times):
            state, _ = step(state, base, constants, rows, LEARNING_RATE)
        jax.block_until_ready(state)

    def facts() -> dict[str, Any]:
        lowered = cast(Any, step).lower(state, base, constants, rows, LEARNING_RATE)
        memory = {"bytes": planned_bytes(lowered.compile().memory_analysis()), "kind": "planned"}
        if (peak := _peak_bytes()) > earlier_peak:  # a device's high-water mark never falls
            memory = {"bytes": peak, "kind": "measured"}
        return {"memory": memory, "trained_parameters": trained}

    yield Opened(run, facts)


@contextmanager
def _forward(settings: Benchmark) -> Iterator[Opened]:
    base, rows = model(settings), batch(settings)

    @jax.jit
    def hidden(base: Llama, rows: dict[str, Any]) -> jax.Array:
        return run_layers(base, embed(base, rows["tokens"]), rows["positions"], packed_mask(rows["segments"]))[0]

    def run(times: int) -> None:
        jax.block_until_ready([hidden(base, rows) for _ in range(times)])

    yield Opened(run, dict)


@contextmanager
def _moments(settings: Benchmark) -> Iterator[Opened]:
    base, rows = model(settings), batch(settings)

    def run(times: int) -> None:
        for _ in stream_moments(base, [rows] * times, [], two_sided=False, seed=0):
            pass

    yield Opened(run, dict)


@contextmanager
def _generation(settings: Benchmark) -> Iterator[Opened]:
    base, texts = model(settings), prompts(settings).tolist()

    def run(times: int) -> None:
        for _ in range(times):
            replies = generate(base, texts, max_new_tokens=settings.new_tokens, batch_size=settings.prompts)
            assert {len(reply) for reply in replies} == {settings.new_tokens}

    yield Opened(run, dict)


@contextmanager
def start(command: tuple[str, ...]) -> Iterator[Opened]:
    """Fresh processes of Python with these arguments."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}

    def run(times: int) -> None:
        for _ in range(times):
            subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)

    yield Opened(run, dict)


def _peak_bytes() -> int:
    """Most bytes in use so far on the device; 0 if it does not report them."""
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)

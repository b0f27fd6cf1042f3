"""The training step, the same for every method."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jaxtyping import Float, Int

from jaxft import bounds, optim
from jaxft.llama.loss import chunked_loss_sum, token_losses
from jaxft.llama.model import Llama, hidden, logits
from jaxft.methods.base import Method
from jaxft.training.config import Training

ROUNDING = 0x726F756E  # folded into a step's key for the rounding of weights
#: tokens, positions, segments, targets, weights, each [batch, length]; "reference" is a batch of reference text, for
#: methods that read it in every step.
Batch = Mapping[str, Any]


class TrainState(NamedTuple):
    """All arrays that change during training."""

    trainable: Any
    optimizer: optax.OptState
    step: Int[Array, ""]
    key: Array


def schedule(training: Training, learning_rate: Array | float) -> Callable[[Any], Any]:
    """Linear warm-up from zero (the first step) to the learning rate, then cosine decay to zero after the last step."""
    warmup = min(training.warmup, training.steps // 2)
    shape = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, training.steps)
    return lambda count: learning_rate * shape(count)


def initial_state(method: Method, training: Training, base: Llama, constants: Any, key: Array) -> TrainState:
    """The state before the first step; the same key gives the same state. UserError for a setting out of its bounds."""
    bounds.check(training, "Training")

    @jax.jit  # on a mesh, large arrays are made in their shards
    def make(base: Llama, constants: Any, key: Array) -> TrainState:
        first, later = jax.random.split(key)
        trainable = method.initial(base, first, constants)
        optimizer = method.optimizer(training, schedule(training, 0.0), constants, base).init(trainable)
        trainable = optax.tree.cast(trainable, training.weights_dtype)
        return TrainState(trainable, optimizer, jnp.zeros((), jnp.int32), later)

    return make(base, constants, key)


def loss_sum(
    method: Method, trainable: Any, base: Llama, batch: Batch, key: Array | None, chunk: int = 0
) -> Float[Array, ""]:
    """Summed weighted token losses of a batch, plus the method's penalty if the batch has reference text, in nat.

    key: randomness of dropout; None: no dropout. chunk: tokens of a row whose logits are in memory at once; 0: all.
    """
    model, adapters = method.assemble(base, trainable)
    x = hidden(model, batch["tokens"], batch["positions"], batch["segments"], adapters=adapters, key=key)
    if chunk:
        loss = chunked_loss_sum(model, x, batch["targets"], batch["weights"], chunk)
    else:
        loss = token_losses(logits(model, x), batch["targets"], batch["weights"]).sum()
    return loss + method.penalty(base, trainable, batch["reference"]) if "reference" in batch else loss


Step = Callable[[TrainState, Llama, Any, Batch, float], tuple[TrainState, dict[str, Array]]]


@lru_cache
def make_step(method: Method, training: Training) -> Step:
    """The jitted step (state, base, constants, batch, learning rate) -> (state, metrics); the state is donated.

    Equal methods and settings share one compiled step for all learning rates. The loss is the mean over weighted tokens
    of the whole batch: microbatches are summed and divided once, so that accumulation changes nothing but memory. The
    base and the constants are inputs and get no gradient.
    """

    differentiate = jax.value_and_grad(partial(loss_sum, method, chunk=training.loss_chunk))

    def gradients(trainable: Any, base: Llama, batch: Batch, key: Array) -> tuple[Array, Any]:
        if training.accumulation == 1:
            return differentiate(trainable, base, batch, key)
        # Every n-th row, so that each device's rows are split evenly.
        split = jax.tree.map(lambda a: a.reshape(-1, training.accumulation, *a.shape[1:]).swapaxes(0, 1), dict(batch))

        def add(sums: Any, part: tuple[Batch, Array]) -> tuple[Any, None]:
            result = differentiate(trainable, base, *part)
            return jax.tree.map(jnp.add, sums, result), None

        zeros = (jnp.zeros(()), optax.tree.zeros_like(trainable, dtype=jnp.float32))
        return lax.scan(add, zeros, (split, jax.random.split(key, training.accumulation)))[0]

    def step(
        state: TrainState, base: Llama, constants: Any, batch: Batch, learning_rate: Array
    ) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(state.key, state.step)
        tokens = batch["weights"].sum()
        if "reference" in batch:  # all reference tokens weigh the same, together as much as the domain's
            real = (batch["reference"]["segments"] > 0).astype(jnp.float32)
            batch = {**batch, "reference": {**batch["reference"], "weights": real * tokens / real.sum()}}
        loss, gradient = gradients(state.trainable, base, batch, key)
        loss, gradient = jax.tree.map(lambda a: a.astype(jnp.float32) / jnp.maximum(tokens, 1.0), (loss, gradient))
        optimizer = method.optimizer(training, schedule(training, learning_rate), constants, base)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.trainable)
        rounding = jax.random.fold_in(key, ROUNDING)
        trainable = optim.apply_updates(state.trainable, updates, training.weights_dtype, rounding)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.tree.norm(gradient),
            "update_norm": optax.tree.norm(updates),
            "trained_tokens": tokens,
            "tokens": (batch["segments"] > 0).sum(),
        }
        return TrainState(trainable, optimizer_state, state.step + 1, state.key), metrics

    return jax.jit(step, donate_argnums=0)

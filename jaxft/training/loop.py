"""The training loop of every method: restore, step, log, measure, save."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxft import distributed
from jaxft.data.batches import batches, reference_batch
from jaxft.data.packing import Rows
from jaxft.errors import UserError
from jaxft.llama.model import Llama
from jaxft.methods.base import Method
from jaxft.preemption import Preempted
from jaxft.sharding import shard_rows
from jaxft.training.checkpoint import Checkpoints
from jaxft.training.config import Training
from jaxft.training.memory import check_memory
from jaxft.training.metrics import Metrics
from jaxft.training.step import TrainState, initial_state, make_step
from jaxft.training.trackers import tracker_of
from jaxft.training.watch import Seen, Watch


class Trained(NamedTuple):
    """The trained parameters, and the speed of training."""

    trainable: Any
    timings: dict[str, float] | None  # None if an earlier call had done all steps


def train(
    method: Method,
    training: Training,
    learning_rate: float,
    base: Llama,
    constants: Any,
    rows: Rows,
    *,
    reference: Rows | None = None,
    seed: int,
    label: str,
    folder: Path | None = None,
    identity: dict[str, Any] | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Train for `training.steps` steps, or the rest of them if `folder` holds a checkpoint.

    reference: rows of reference text, for methods that read as many of them in every step as rows of the domain.
    seed: of the initial adapters, the dropout and the order of the data. folder: for checkpoints, metrics.jsonl, the
    tracker's files and memory.json (of `check_memory`); None: nothing is written. A resumed run equals an uninterrupted
    one bit for bit. On SIGTERM the current step is finished and saved, then Preempted is raised. watch: measures the
    weights during training and may stop it. If it keeps the best weights, these are returned; they are stored with the
    checkpoints, so `folder` is needed. All processes call this with the same arguments; `rows` are all rows in each of
    them.
    """
    layout = base.compute.layout
    data = batches(rows, training.batch_rows, seed)
    state = initial_state(method, training, base, constants, jax.random.key(seed))
    checkpoints = kept = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints = Checkpoints(folder / "checkpoints", identity or {})
        state = checkpoints.restore(state) or state
        if watch is not None and watch.keeps:
            kept = Checkpoints(checkpoints.folder / "kept", checkpoints.identity)
    start = int(state.step)
    seen = Seen(None, False)
    settings = {"method": method.kind, "learning_rate": learning_rate, "seed": seed, **asdict(training)}
    tracker = tracker_of(training.tracker, folder, label, settings)
    metrics = Metrics(folder / "metrics.jsonl" if folder else None, label, training.steps, start, tracker)
    step = make_step(method, training)
    try:
        if watch is not None:
            seen = watch.resume(start, state.trainable)
        if kept is not None and seen.best not in (None, kept.latest):
            if seen.best != start:
                raise UserError(
                    f"{kept.folder}: does not hold the weights of step {seen.best}, the best of this run.\n"
                    f"Delete {kept.folder.parent} to train anew."
                )
            kept.save(_without_optimizer(state))  # the earlier call was stopped before this save
            kept.wait()
        with distributed.preemption_notice() as told_to_stop:
            for number in range(start + 1, training.steps + 1):
                if seen.stop:
                    break
                batch = data[number - 1]
                if reference is not None:
                    batch = {**batch, "reference": reference_batch(reference, training.batch_rows, seed, number)}
                batch = shard_rows(batch, layout)
                if number == start + 1:
                    memory = check_memory(step, (state, base, constants, batch, learning_rate), training)
                    if folder is not None:
                        path, text = folder / "memory.json", json.dumps(memory)
                        distributed.run_on_leader(f"{path} written", partial(path.write_text, text))
                state, values = step(state, base, constants, batch, learning_rate)
                metrics.add(number, values)
                last = number == training.steps
                stopping = told_to_stop(number) or (last and told_to_stop(number + 1))  # others may be a step ahead
                if watch is not None and watch.due(number) and not stopping:  # else measured on resumption
                    with metrics.paused():
                        seen = watch.look(number, state.trainable)
                keeping = kept is not None and seen.best == number
                saving = last or stopping or keeping or seen.stop or number % training.checkpoint_every == 0
                if saving or number % training.log_every == 0:
                    metrics.flush()
                if saving and checkpoints is not None:
                    checkpoints.save(state)
                if checkpoints is not None and kept is not None and keeping:
                    # In this order: if killed in between, the resumed run starts at the best weights and saves them.
                    checkpoints.wait()
                    kept.save(_without_optimizer(state))
                    kept.wait()
                if stopping:
                    told = "saved; the same command continues from there" if checkpoints else "not saved"
                    raise Preempted(f"{label}: stopped by SIGTERM after step {number} of {training.steps}, {told}")
        timings = metrics.timings if int(state.step) > start else None
        if kept is not None and seen.best != int(state.step):
            state = _without_optimizer(state)  # frees its memory before the best weights are loaded
            state = kept.restore(state) or state
    finally:
        metrics.close()
        for opened in (checkpoints, kept):
            if opened is not None:
                opened.close()
    return Trained(state.trainable, timings)


def _without_optimizer(state: TrainState) -> TrainState:
    return state._replace(optimizer=())

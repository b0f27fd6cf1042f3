"""Fine-tuning of a provider's model on our examples: one job, paid for once, even if the wait for it is interrupted."""

import hashlib
import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.config import Endpoint, Hosted
from experiments.endpoints import access
from experiments.hosted import files
from experiments.hosted.jobs import Jobs, Order
from experiments.store.cache import locked
from jaxft.data.example import Example
from jaxft.errors import UserError
from jaxft.io import read_json, write_atomically, write_json

log = logging.getLogger("jaxft")

#: Seconds between two checks of a job, and between two notes if nothing changes.
POLL_SECONDS, NOTE_SECONDS = 10.0, 300.0


@dataclass(frozen=True)
class DryRun:
    """Content and cost of a job that was not sent, by `files.tokens`; languages other than English take more tokens."""

    file: Path
    examples: int
    tokens: int  # of one epoch
    cost: float  # US dollars, of all epochs


def dry_run(settings: Hosted, examples: Sequence[Example], folder: Path) -> DryRun:
    """Write the training file into `folder` and estimate the job's cost. Nothing is sent, and no key is needed.

    UserError if the examples cannot be trained on.
    """
    file = folder / "training.jsonl"
    write_atomically(file, files.content(examples))
    tokens = files.tokens(examples)
    found = DryRun(file, len(examples), tokens, training_cost(settings, examples))
    log.info(
        f"{file}: {found.examples} examples, about {tokens:,} tokens; {settings.epochs} epochs of "
        f"{settings.endpoint.model} at {settings.provider} would cost about {found.cost:.2f} US dollars"
    )
    return found


def training_cost(settings: Hosted, examples: Sequence[Example]) -> float:
    """The approximate cost of a job in US dollars: all epochs, by `files.tokens`."""
    return files.tokens(examples) * settings.epochs * settings.price_training / 1e6


def fine_tune(settings: Hosted, examples: Sequence[Example], folder: Path, seed: int, learning_rate: float) -> str:
    """The name of the fine-tuned model, which the same endpoint serves.

    `folder` keeps the training file and `job.json`. A later call continues from it: it waits for the running job, finds
    one that was begun just before a crash, and returns at once if it is done. UserError if `job.json` is of another
    job, if the provider refuses, or if the job fails or is cancelled, with the provider's message.
    """
    content = files.content(examples)
    order = Order(settings.endpoint.model, settings.epochs, learning_rate, seed)
    ordered = {
        "provider": settings.provider,
        "url": settings.endpoint.url,
        **asdict(order),
        "training_sha256": hashlib.sha256(content).hexdigest(),
    }
    path = folder / "job.json"
    with locked(path, wait=False):
        job = _started(path, ordered)
        if "model" in job:
            return job["model"]
        provider = _provider(settings)
        with _explained(provider, settings.endpoint):
            if "file" not in job:
                file = folder / "training.jsonl"
                write_atomically(file, content)
                job = _noted(path, job, file=provider.upload(file))
            if "job" not in job:
                # An earlier call may have crashed after creating the job and before recording it.
                begun = provider.find(job["suffix"]) or provider.create(job["file"], job["suffix"], order)
                job = _noted(path, job, job=begun)
            return _noted(path, job, model=_wait(provider, settings.endpoint, job["job"], path))["model"]


def _started(path: Path, ordered: dict[str, Any]) -> dict[str, Any]:
    """The record of the job in `path`, made if there is none. UserError if it is of another job or unreadable."""
    if not path.exists():
        return _noted(path, {"ordered": ordered, "suffix": f"jaxft-{uuid.uuid4().hex[:12]}"})
    job = read_json(path)
    found = job.get("ordered") if isinstance(job, dict) else None
    if not isinstance(found, dict) or "suffix" not in job:
        raise UserError(f"{path}: no record of a job as jaxft writes it; restore it or choose another folder")
    if other := [name for name in ordered if found.get(name) != ordered[name]]:
        raise UserError(
            f"{path}: of another job: {other[0]} is {found.get(other[0])!r} there and {ordered[other[0]]!r} now.\n"
            "Choose another folder for this one."
        )
    return job


def _noted(path: Path, kept: dict[str, Any], **more: str) -> dict[str, Any]:
    kept = {**kept, **more}
    write_json(path, kept)
    return kept


def _wait(provider: Jobs, endpoint: Endpoint, job: str, path: Path) -> str:
    """The name of the model that a job makes, after waiting for the job."""
    start, noted, last = time.monotonic(), -NOTE_SECONDS, ""
    while True:
        status, now = provider.status(job), time.monotonic() - start
        if status.stage != last or now - noted >= NOTE_SECONDS:
            left = "" if status.seconds_left is None else f", about {status.seconds_left / 60:.0f} min left"
            log.info(f"fine-tuning {job}: {status.stage} after {now / 60:.0f} min{left}")
            noted, last = now, status.stage
        if status.model:
            return status.model
        if status.problem:
            raise UserError(
                f"{endpoint.url}: fine-tuning job {job} ended as {status.stage}: {status.problem}\n"
                f"Fix that, then delete {path} to begin another job."
            )
        time.sleep(POLL_SECONDS)


def _provider(settings: Hosted) -> Jobs:
    access.package(settings.provider)
    if settings.provider == "openai":
        from experiments.hosted.openai import OpenAIJobs

        return OpenAIJobs(settings.endpoint)
    from experiments.hosted.together import TogetherJobs

    return TogetherJobs(settings.endpoint)


@contextmanager
def _explained(provider: Jobs, endpoint: Endpoint) -> Iterator[None]:
    """Turn errors of the provider's client into a UserError."""
    try:
        yield
    except provider.errors as error:
        status = getattr(error, "status_code", None)
        if status is None:
            raise UserError(
                f"{endpoint.url}: a request failed ({access.refusal_text(error, endpoint)}).\n"
                "Run the same command again: it continues the job that was begun, if one was."
            ) from error
        stop = access.lasting_refusal(error, endpoint)
        raise stop or UserError(
            f"{endpoint.url}: refuses ({status}): {access.refusal_text(error, endpoint)}"
        ) from error

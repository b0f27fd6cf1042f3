"""Fine-tuning at Together, through its own client."""

import time
from pathlib import Path
from typing import ClassVar

import httpx  # the client sends files through it directly, and lets its errors pass
import together

from experiments.config import Endpoint
from experiments.endpoints import access
from experiments.hosted.jobs import NAMELESS, Order, Status
from jaxft.errors import UserError

#: Seconds between two checks of a file that the provider examines.
FILE_SECONDS = 2.0


class TogetherJobs:
    """See Jobs. `learning_rate` is the rate itself. Together trains low-rank adapters by default."""

    errors: ClassVar[tuple[type[Exception], ...]] = (together.TogetherError, httpx.HTTPError)

    def __init__(self, endpoint: Endpoint) -> None:
        """UserError without a key."""
        self._client = together.Together(
            api_key=access.key(endpoint),
            base_url=endpoint.url.rstrip("/").removesuffix("/v1"),  # which this client appends itself
            timeout=endpoint.timeout,
            max_retries=endpoint.attempts - 1,
        )

    def upload(self, file: Path) -> str:
        sent = self._client.files.upload(file, purpose="fine-tune")
        while sent.processing_status in ("PENDING", "QUEUED", "RUNNING"):
            time.sleep(FILE_SECONDS)
            sent = self._client.files.retrieve(sent.id)
        if sent.processing_status in ("FAILED", "INVALID_FORMAT"):
            report = sent.validation_report
            said = report.error if report and report.error else sent.processing_status
            raise UserError(f"{file}: together cannot train on this file: {said}")
        return sent.id

    def create(self, file: str, suffix: str, order: Order) -> str:
        job = self._client.with_options(max_retries=0).fine_tuning.create(
            training_file=file,
            model=order.model,
            n_epochs=order.epochs,
            learning_rate=order.learning_rate,
            random_seed=order.seed,
            suffix=suffix,
            train_on_inputs=False,
        )
        return job.id

    def find(self, suffix: str) -> str | None:
        jobs = self._client.fine_tuning.list().data
        return next((job.id for job in jobs if suffix in (job.suffix or job.x_model_output_name or "")), None)

    def status(self, job: str) -> Status:
        found = self._client.fine_tuning.retrieve(job)
        match str(found.status):
            case "completed":
                return Status("completed", model=found.x_model_output_name or "", problem=NAMELESS)
            case "error" | "user_error" | "cancelled" as stage:
                said = [event.message for event in found.events or () if event.type in ("job_error", "billing_limit")]
                return Status(stage, problem=said[-1] if said else f"no reason given, status {stage}")
            case stage:
                progress = found.progress
                left = progress.seconds_remaining if progress and progress.estimate_available else None
                return Status(stage, left)

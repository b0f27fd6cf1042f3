"""Fine-tuning at OpenAI, through its own client."""

import time
from pathlib import Path
from typing import ClassVar

import openai

from experiments.config import Endpoint
from experiments.endpoints import access
from experiments.hosted.jobs import NAMELESS, Order, Status

#: Metadata that a job is found by.
TAG = "jaxft"


class OpenAIJobs:
    """See Jobs. `learning_rate` is the multiplier of the rate that OpenAI chooses."""

    errors: ClassVar[tuple[type[Exception], ...]] = (openai.OpenAIError,)

    def __init__(self, endpoint: Endpoint) -> None:
        """UserError without a key."""
        self._client = openai.OpenAI(
            api_key=access.key(endpoint),
            base_url=endpoint.url,
            timeout=endpoint.timeout,
            max_retries=endpoint.attempts - 1,
        )

    def upload(self, file: Path) -> str:
        return self._client.files.create(file=file, purpose="fine-tune").id

    def create(self, file: str, suffix: str, order: Order) -> str:
        job = self._client.with_options(max_retries=0).fine_tuning.jobs.create(
            model=order.model,
            training_file=file,
            suffix=suffix,
            seed=order.seed,
            metadata={TAG: suffix},
            method={
                "type": "supervised",
                "supervised": {
                    "hyperparameters": {"n_epochs": order.epochs, "learning_rate_multiplier": order.learning_rate}
                },
            },
        )
        return job.id

    def find(self, suffix: str) -> str | None:
        jobs = self._client.fine_tuning.jobs.list(metadata={TAG: suffix})
        return next((job.id for job in jobs if (job.metadata or {}).get(TAG) == suffix), None)

    def status(self, job: str) -> Status:
        found = self._client.fine_tuning.jobs.retrieve(job)
        left = None if found.estimated_finish is None else max(0.0, found.estimated_finish - time.time())
        match found.status:
            case "succeeded":
                return Status(found.status, model=found.fine_tuned_model or "", problem=NAMELESS)
            case "failed" | "cancelled":
                said = found.error.message if found.error else None
                return Status(found.status, problem=said or f"no reason given, status {found.status}")
            case stage:
                return Status(stage, left)

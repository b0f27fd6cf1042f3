"""The part of the scripted provider that keeps files and fine-tuning jobs, as OpenAI and as Together do."""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

LIMITS = {
    "model_name": "base",
    "max_learning_rate": 1.0,
    "min_learning_rate": 0.0,
    "lora_training": {"default_rank": 8, "max_rank": 64, "min_batch_size": 8, "max_batch_size": 8},
    "supports_vision": False,
}


@dataclass
class Jobs:
    """`stages`: what a job goes through, one a look; `faults`: a status for each request to come, 0 for none."""

    stages: dict[str, list[str]] = field(
        default_factory=lambda: {"openai": ["validating_files", "running", "succeeded"], "together": ["completed"]}
    )
    problem: str = "the loss is not a number"
    file_problem: str = ""
    faults: deque[int] = field(default_factory=deque)
    lose_created: bool = False  # the answer to a creation gets lost
    files: dict[str, bytes] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    nameless: bool = False  # OpenAI: done, and no model
    looks: int = 0

    @property
    def models(self) -> set[str]:
        """What came out of the jobs."""
        return {_model(job) for job in self.created}

    def answer(self, request: Any, content: bytes) -> tuple[Any, ...]:
        """(status, body) or (status, body, headers)."""
        if self.faults and (fault := self.faults.popleft()):
            return fault, {"error": {"message": f"a scripted {fault}"}}
        parts = urlsplit(request.path)
        path = re.sub(r"(file|job)-\d+", r"{\1}", parts.path)
        found = re.search(r"(file|job)-\d+", parts.path)
        match request.command, path:
            case "POST", "/v1/files" if b'name="file_name"' in content:  # Together: an address to send it to
                name = self._file(b"")
                where = f"http://{request.headers['Host']}/upload/{name}"
                return 302, {}, {"Location": where, "X-Together-File-Id": name}
            case "POST", "/v1/files":
                return 200, self._file_object(self._file(content.split(b"\r\n\r\n", 2)[2].split(b"\r\n--")[0]))
            case "PUT", "/upload/{file}":
                assert found
                self.files[found[0]] = content
                return 200, {}
            case "POST", "/v1/files/{file}/preprocess":
                assert found
                return 200, self._file_object(found[0], "PENDING")
            case "GET", "/v1/files/{file}":
                assert found
                return 200, self._file_object(found[0], "INVALID_FORMAT" if self.file_problem else "COMPLETED")
            case "GET", "/v1/fine-tunes/models/limits":
                return 200, LIMITS
            case "POST", "/v1/fine-tunes/estimate-price":
                return 200, {"estimation_available": False, "unavailable_reason": "train_file_not_validated"}
            case "POST", "/v1/fine_tuning/jobs" | "/v1/fine-tunes":
                self.created.append({**json.loads(content), "id": f"job-{len(self.created)}"})
                if self.lose_created:
                    request.close_connection = True
                    return 0, {}
                return 200, self._job(self.created[-1])
            case "GET", "/v1/fine_tuning/jobs":
                tag = parse_qs(parts.query)["metadata[jaxft]"][0]
                mine = [job for job in self.created if job["metadata"]["jaxft"] == tag]
                return 200, {"object": "list", "has_more": False, "data": [self._job(job) for job in mine]}
            case "GET", "/v1/fine-tunes":
                return 200, {"data": [self._job(job) for job in self.created]}
            case "GET", "/v1/fine_tuning/jobs/{job}" | "/v1/fine-tunes/{job}":
                assert found
                self.looks += 1
                return 200, self._job(next(job for job in self.created if job["id"] == found[0]))
        return 404, {"error": {"message": f"nothing at {request.command} {request.path}"}}

    def _file(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def _file_object(self, name: str, status: str | None = None) -> dict[str, Any]:
        report = {"valid": False, "error": self.file_problem} if self.file_problem else None
        known = {"id": name, "object": "file", "bytes": len(self.files[name]), "created_at": 1, "filename": "training"}
        return known | {
            "purpose": "fine-tune",
            "FileType": "jsonl",
            "processing_status": status,
            "validation_report": report,
        }

    def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        stages = self.stages["openai" if "metadata" in job else "together"]
        stage = stages[min(self.looks, len(stages)) - 1] if self.looks else stages[0]
        bad = stage in ("failed", "error", "cancelled")
        name = _model(job)
        events = [
            {"type": kind, "message": said} for kind, said in (("job_start", "it began"), ("job_error", self.problem))
        ]
        return {
            **job,
            "status": stage,
            "fine_tuned_model": name if stage == "succeeded" and not self.nameless else None,
            "error": {"code": "bad", "message": self.problem} if stage == "failed" else None,
            "model_output_name": name,
            "events": events if bad else [],
            "progress": {"estimate_available": True, "seconds_remaining": 120},
        }


def _model(job: dict[str, Any]) -> str:
    return f"ft:{job['model']}:{job['suffix']}"

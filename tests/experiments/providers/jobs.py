"""The part of the scripted provider that keeps files and fine-tuning jobs, as OpenAI and as Together."""

from __future__ import annotations

from typing import Any


class Jobs:
    def answer(self, request: Any, content: bytes) -> tuple[int, Any]:
        return 404, {"error": {"message": "no such thing"}}

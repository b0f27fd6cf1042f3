"""A client that is killed with requests under way: the next one pays only for the rest, and knows what was lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.endpoints.chat import Chat
from jaxft.errors import UserError
from tests.experiments.endpoints.asked import endpoint, questions, texts
from tests.experiments.endpoints.server import Provider
from tests.experiments.world import REPOSITORY

CLIENT = """
import sys
from pathlib import Path
from experiments.endpoints.chat import Chat, Request
from experiments.config import Endpoint
from jaxft.data.example import Message
endpoint = Endpoint("base", sys.argv[1], "SCRIPTED_KEY", concurrency=2, price_in=1000.0, price_out=2000.0)
asked = [Request((Message("user", f"question {n}"),), max_tokens=8) for n in range(8)]
Chat(endpoint, Path(sys.argv[2]), max_cost=1.0).answers(asked, "killed")
"""


def test_after_a_kill_only_the_rest_is_paid(server: Provider, tmp_path: Path) -> None:
    server.answering = threading.Semaphore(3)  # three are answered, the next two wait
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, server.url, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(server.asked) < 5 and time.monotonic() < deadline and client.poll() is None:
        time.sleep(0.02)
    assert len(server.asked) == 5
    chat = Chat(endpoint(server), tmp_path, max_cost=1.0)
    with pytest.raises(UserError, match="another process is at work here"):
        chat.answers(questions(8), "at the same time")
    client.kill()
    client.wait()
    server.answering.release(1_000_000)  # the server does not know that nobody listens
    chat = Chat(endpoint(server), tmp_path, max_cost=1.0)
    most = Chat(endpoint(server), tmp_path / "empty", max_cost=1.0).estimate(questions(2))
    assert chat.usage.answers == 3 and chat.usage.lost == pytest.approx(most)
    assert texts(chat.answers(questions(8), "again")) == [f"question {n}" for n in range(8)]
    assert sorted(server.charged.values()) == [1] * 6 + [2] * 2
    assert chat.usage.cost < server.billed <= chat.usage.cost + chat.usage.lost

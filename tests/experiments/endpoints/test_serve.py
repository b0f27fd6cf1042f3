"""A server that nobody here wrote: what `transformers serve` replies is what jaxft generates from the same folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.base_model import SHIPPED_BASE
from experiments.config import Endpoint
from experiments.data.sources import load as examples_of
from experiments.endpoints.chat import Chat
from experiments.hosted.replies import replies
from jaxft.data.example import Example, Message
from jaxft.data.template import encode_prompt
from jaxft.data.tokenizer import load_tokenizer
from jaxft.llama.checkpoint import load
from jaxft.llama.generate import generate

SERVE = "from transformers.cli.transformers import main; main()"
NEW_TOKENS = 24  # fewer than some of the replies have


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the shipped base is served."""
    for package in ("torch", "fastapi", "uvicorn"):
        pytest.importorskip(package, reason="needs transformers[serving]; the scripted provider stands in without it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(SHIPPED_BASE), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, *words], stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
    try:
        deadline = time.monotonic() + 120  # generous: the machine may be busy
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def test_its_greedy_replies_are_those_generated_here(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVE_KEY", "any")
    examples = [example for name in ("knowledge", "safety", "hotel") for example in examples_of(name, "test", 4)]
    turns = (("user", "Hello."), ("assistant", "How lovely!"), ("user", "What is the capital of Italy?"))
    examples.append(Example(tuple(Message(role, text) for role, text in turns), ""))
    tokenizer = load_tokenizer(SHIPPED_BASE)
    prompts = [encode_prompt(example, tokenizer, "tokenizer") for example in examples]
    tokens = generate(load(SHIPPED_BASE), prompts, max_new_tokens=NEW_TOKENS, batch_size=len(prompts))
    chat = Chat(Endpoint(str(SHIPPED_BASE), address, "SERVE_KEY", concurrency=2, attempts=1), tmp_path / "chat", 1.0)
    found = [answer for answer in replies(chat, examples, NEW_TOKENS) if answer]
    assert [answer.text for answer in found] == tokenizer.batch_decode(tokens, skip_special_tokens=True)
    assert [answer.tokens_in for answer in found] == [len(prompt) for prompt in prompts]
    cut = [len(reply) == NEW_TOKENS for reply in tokens]
    assert [answer.finish == "length" for answer in found] == cut and any(cut) and not all(cut)

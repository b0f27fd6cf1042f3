"""A server that nobody here wrote: what `transformers serve` replies is what jaxft generates from the same export."""

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

from experiments.base_model import Base
from experiments.config import Endpoint, Model
from experiments.data.sources import load as examples_of
from experiments.endpoints.chat import Chat
from experiments.hosted.replies import replies
from jaxft.data.example import Example, Message
from jaxft.data.template import encode_prompt
from jaxft.data.tokenizer import load_tokenizer
from jaxft.llama.checkpoint import load, save
from jaxft.llama.generate import generate
from jaxft.llama.locate import SHIPPED_BASE
from jaxft.methods import Lora
from jaxft.training.config import Training
from jaxft.training.loop import train

SERVE = "from transformers.cli.transformers import main; main()"
NEW_TOKENS = 24  # fewer than some of the replies have


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """The shipped base after a few steps on the hotel corpus."""
    base, method = Base(Model()), Lora((), rank=4)
    rows = base.pack(examples_of("hotel", "train", 200), 128, "drop")
    training = Training(steps=20, batch_rows=8, warmup=2)
    trained = train(method, training, 2e-3, base.model, None, rows, seed=0, label="lora").trainable
    save(method.merge(base.model, trained), tmp_path / "export", like=SHIPPED_BASE)
    return tmp_path / "export"


@pytest.fixture
def address(tmp_path: Path, export: Path) -> Iterator[str]:
    """The address of the server of the export."""
    for package in ("torch", "fastapi", "uvicorn"):
        pytest.importorskip(package, reason="needs transformers[serving]; the scripted provider stands in without it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(export), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
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
    address: str, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVE_KEY", "any")
    examples = [example for name in ("knowledge", "safety", "hotel") for example in examples_of(name, "test", 4)]
    turns = (("user", "Hello."), ("assistant", "How lovely!"), ("user", "What is the capital of Italy?"))
    examples.append(Example(tuple(Message(role, text) for role, text in turns), ""))
    tokenizer = load_tokenizer(export)
    prompts = [encode_prompt(example, tokenizer, "tokenizer") for example in examples]
    tokens, before = (
        generate(load(folder), prompts, max_new_tokens=NEW_TOKENS, batch_size=len(prompts))
        for folder in (export, SHIPPED_BASE)
    )
    assert tokens != before
    chat = Chat(Endpoint(str(export), address, "SERVE_KEY", concurrency=2, attempts=1), tmp_path / "chat", 1.0)
    found = [answer for answer in replies(chat, examples, NEW_TOKENS) if answer]
    assert [answer.text for answer in found] == tokenizer.batch_decode(tokens, skip_special_tokens=True)
    assert [answer.tokens_in for answer in found] == [len(prompt) for prompt in prompts]
    cut = [len(reply) == NEW_TOKENS for reply in tokens]
    assert [answer.finish == "length" for answer in found] == cut and any(cut) and not all(cut)

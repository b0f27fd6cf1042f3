"""A provider on this machine that speaks what the official clients send, misbehaves as told and keeps its own bill.

Replies repeat the last message unless a test says otherwise, so that a reply that reaches the wrong question shows.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.experiments.hosted import jobs

KEY = "key-0123456789-secret"
PRICE_IN, PRICE_OUT = 1000.0, 2000.0  # US dollars per million tokens
#: Faults after which the work is on the bill although no answer arrives.
CHARGED = ("hang", "cut", "garbage", "gateway")
STATUS = {"busy": 429, "error": 500, "gateway": 502, "bad": 400, "quota": 429}


class Provider(ThreadingHTTPServer):
    """`faults`: one word for each chat request to come, "" for none; `reply_tokens`: of every reply."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, faults: Iterable[str] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults = deque(faults)
        self.poison: set[str] = set()  # prompts that are never answered but with a 500
        self.retry_after: str | None = None
        self.models = {"base"}
        self.reply: Callable[[dict[str, Any]], str] = lambda body: body["messages"][-1]["content"]
        self.usage = True  # whether answers say what they cost
        self.reply_tokens = 3
        self.dearest = False  # charge as much as any server could
        self.asked: list[str] = []  # the last message of every chat request, in order
        self.bodies: list[dict[str, Any]] = []
        self.charged: Counter[str] = Counter()  # times that work was done, by last message
        self.billed = 0.0  # US dollars
        self.answering = threading.Semaphore(1_000_000)  # a test may make the server wait
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.jobs = jobs.Jobs()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: Any) -> None:
        """A client that went away is what the tests are about."""

    def charge(self, body: dict[str, Any]) -> dict[str, int]:
        tokens_in = sum(4 + len(message["content"].split()) for message in body["messages"])
        tokens_out = min(self.reply_tokens, body["max_tokens"])
        if self.dearest:
            tokens_in = 64 + sum(16 + len(message["content"].encode()) for message in body["messages"])
            tokens_out = body["max_tokens"]
        with self.lock:
            self.billed += (tokens_in * PRICE_IN + tokens_out * PRICE_OUT) / 1e6
            self.charged[body["messages"][-1]["content"]] += 1
        return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}


@contextmanager
def provider(faults: Iterable[str] = ()) -> Iterator[Provider]:
    """A provider that runs; gone afterwards."""
    server = Provider(faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def log_message(self, format: str, *args: Any) -> None:
        """Standard error is the tests'."""

    def do_GET(self) -> None:
        self.route()

    def do_POST(self) -> None:
        self.route()

    def do_PUT(self) -> None:
        self.route()

    def route(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path.startswith("/upload/"):  # a signed address: needs no key
            self.send(*self.server.jobs.answer(self, content))
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            said = f"Incorrect API key provided: {self.headers.get('Authorization')}"
            self.send(401, {"error": {"message": said, "code": "invalid_api_key"}})
        elif path == "/v1/chat/completions":
            self.chat(json.loads(content))
        else:
            self.send(*self.server.jobs.answer(self, content))

    def chat(self, body: dict[str, Any]) -> None:
        server, question = self.server, body["messages"][-1]["content"]
        with server.lock:
            server.asked.append(question)
            server.bodies.append(body)
            fault = server.faults.popleft() if server.faults else ""
        if body["model"] not in server.models | server.jobs.models:
            return self.send(404, {"error": {"message": f"The model {body['model']} does not exist"}})
        if question in server.poison:
            return self.send(500, {"error": {"message": "always fails"}})
        server.answering.acquire()
        usage = server.charge(body) if not fault or fault in CHARGED or fault in ("refusal", "twice") else None
        if fault in STATUS:
            headers = {"Retry-After": server.retry_after} if server.retry_after and fault == "busy" else {}
            code = "insufficient_quota" if fault == "quota" else None
            return self.send(
                STATUS[fault],
                {"error": {"message": f"a scripted {fault} for {self.headers['Authorization']}", "code": code}},
                headers,
            )
        message = {"role": "assistant", "content": server.reply(body)}
        finish = "stop" if server.reply_tokens <= body["max_tokens"] else "length"
        if fault == "refusal":
            message |= {"content": None, "refusal": "I cannot help with that."}
        answer = {"id": "one for all", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
        if server.usage:
            answer["usage"] = usage
        if fault == "hang":
            server.closing.wait(5)
            self.close_connection = True
        elif fault == "garbage":
            self.send(200, b'{"choices": [{"mess')
        else:
            self.send(200, answer, times=2 if fault == "twice" else 1, cut=fault == "cut")

    def send(
        self, status: int, body: Any, headers: dict[str, str] | None = None, times: int = 1, cut: bool = False
    ) -> None:
        if not status:  # the answer gets lost
            return
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} scripted", "Content-Type: application/json", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        whole = "\r\n".join([*lines, "", ""]).encode() + content
        self.wfile.write(whole[: -len(content) // 2] if cut else whole * times)
        self.close_connection |= cut

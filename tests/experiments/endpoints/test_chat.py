"""No answer is lost, mistakes are named, and the key stays in the environment."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.endpoints import asking
from experiments.endpoints.chat import Chat
from jaxft.data.example import Message
from jaxft.errors import UserError
from tests.experiments.endpoints.asked import FAULTS, endpoint, questions, texts
from tests.experiments.endpoints.server import KEY, Provider


def test_answers_come_in_order_and_are_paid_for_once(server: Provider, tmp_path: Path) -> None:
    chat = Chat(endpoint(server), tmp_path, max_cost=1.0)
    asked = [*questions(10), *questions(3)]
    expected = [f"question {n}" for n in [*range(10), *range(3)]]
    assert texts(chat.answers(asked, "test")) == expected
    assert texts(chat.answers(asked, "test")) == expected  # from memory
    again = Chat(endpoint(server), tmp_path, max_cost=1.0)
    assert texts(again.answers(asked, "test")) == expected  # from the disk
    assert len(server.asked) == 10 and set(server.charged.values()) == {1}
    usage = again.usage
    assert (usage.requests, usage.answers, usage.tokens_in, usage.tokens_out) == (10, 10, 60, 30)
    assert usage.cost == pytest.approx(server.billed) and usage.lost == 0


def test_what_is_asked_decides_whether_it_is_known(server: Provider, tmp_path: Path) -> None:
    chat, one = Chat(endpoint(server), tmp_path, max_cost=1.0), questions(1)[0]
    server.models.add("other")
    kinds = [
        replace(one, attempt=1),
        replace(one, temperature=0.5),
        replace(one, max_tokens=2),
        replace(one, schema={"type": "object"}),
        replace(one, messages=(Message("system", "be brief"), *one.messages)),
    ]
    answers = chat.answers([one, *kinds], "test")
    assert len(server.asked) == 6
    Chat(replace(endpoint(server), model="other"), tmp_path, 1.0).answers([one], "test")
    assert len(server.asked) == 7
    assert [answer.finish for answer in answers if answer] == ["stop"] * 3 + ["length"] + ["stop"] * 2
    schemas = [body["response_format"]["json_schema"]["schema"] for body in server.bodies if "response_format" in body]
    assert schemas == [{"type": "object"}]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault])
def test_every_fault_is_survived(fault: str, server: Provider, tmp_path: Path) -> None:
    server.faults.extend([fault] * 3)
    patience = 0.4 if fault == "hang" else 20.0
    chat = Chat(endpoint(server, concurrency=2, timeout=patience), tmp_path, max_cost=1.0)
    answers = chat.answers(questions(6), "test")
    refused = [answer for answer in answers if answer and answer.finish == "refusal"]
    assert [answer.text for answer in refused] == ["I cannot help with that."] * (3 if fault == "refusal" else 0)
    wrong = [n for n, answer in enumerate(answers) if answer not in refused and texts([answer]) != [f"question {n}"]]
    assert wrong == []
    paid_in_vain = 3 if fault in ("hang", "cut", "garbage", "gateway") else 0
    # On a busy machine a request may take longer than the short patience without hanging.
    assert server.charged.total() == 6 + paid_in_vain or fault == "hang"
    assert chat.usage.cost <= server.billed <= chat.usage.cost + chat.usage.lost + 1e-12
    assert (chat.usage.lost > 0) == (paid_in_vain > 0)


def test_one_request_that_always_fails_harms_no_other(
    server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.poison.add("question 2")
    chat = Chat(endpoint(server, attempts=2), tmp_path, max_cost=1.0)
    assert texts(chat.answers(questions(5), "test")) == [f"question {n}" if n != 2 else None for n in range(5)]
    assert server.asked.count("question 2") == 2
    assert "1 requests without an answer after 2 attempts" in capsys.readouterr().err


def test_a_request_that_the_server_refuses_is_left_out(
    server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults.append("bad")
    chat = Chat(endpoint(server, concurrency=1), tmp_path, max_cost=1.0)
    assert texts(chat.answers(questions(2), "test")) == [None, "question 1"]
    assert "1 requests refused by the server and left out: a scripted bad" in capsys.readouterr().err
    server.faults.append("bad")
    with pytest.raises(UserError, match="refuses every request: a scripted bad"):
        chat.answers(questions(1), "test")


def test_the_server_says_how_long_to_wait(server: Provider, tmp_path: Path) -> None:
    server.faults.append("busy")
    server.retry_after = "0.4"
    start = time.monotonic()
    Chat(endpoint(server, concurrency=1), tmp_path, max_cost=1.0).answers(questions(1), "test")
    assert time.monotonic() - start >= 0.4


def test_requests_a_minute_are_limited(server: Provider, tmp_path: Path) -> None:
    start = time.monotonic()
    Chat(endpoint(server, requests_per_minute=600), tmp_path, max_cost=1.0).answers(questions(4), "test")
    assert time.monotonic() - start >= 0.3


def test_progress_is_told(
    server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "NOTE_SECONDS", 0.02)
    server.faults.extend(["", "hang"])
    Chat(endpoint(server, concurrency=1, timeout=0.4), tmp_path, max_cost=1.0).answers(questions(3), "replies")
    err = capsys.readouterr().err
    assert "replies: 1 of 3 answered, 0.0120 of 1 US dollars paid, about 0 min left\n" in err
    assert err.rstrip().endswith("replies: 3 of 3 answered, 0.0360 of 1 US dollars paid")


def test_the_key_is_nowhere(
    server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults.extend(["busy", "error", "garbage", "bad"])
    Chat(endpoint(server), tmp_path, max_cost=1.0).answers(questions(5), "test")
    monkeypatch.setenv("SCRIPTED_KEY", KEY + "wrong")
    with pytest.raises(UserError) as caught:
        Chat(endpoint(server), tmp_path / "wrong", max_cost=1.0).answers(questions(5), "test")
    captured = capsys.readouterr()
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    for text in (*files, captured.out, captured.err, str(caught.value)):
        assert KEY not in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "typo"}, r"127.0.0.1:\d+/v1: does not know the model 'typo'"),
        ({"key_variable": "WRONG_KEY"}, r"127.0.0.1:\d+/v1: refuses the key in WRONG_KEY .401."),
        ({"key_variable": "NO_KEY"}, "environment variable NO_KEY is not set"),
        ({"url": "http://127.0.0.1:1/v1"}, "http://127.0.0.1:1/v1: cannot be reached"),
    ],
)
def test_mistakes_name_the_address_or_the_variable(
    changes: dict[str, str], said: str, server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG_KEY", "wrong")
    chat = Chat(replace(endpoint(server), **changes), tmp_path, max_cost=1.0)
    with pytest.raises(UserError, match=said):
        chat.answers(questions(5), "test")
    assert server.billed == 0 and chat.usage.lost == 0


def test_an_account_without_credit_stops_at_once(server: Provider, tmp_path: Path) -> None:
    server.faults.extend(["quota"] * 20)
    with pytest.raises(UserError, match="the account of SCRIPTED_KEY has no credit left"):
        Chat(endpoint(server, concurrency=1), tmp_path, max_cost=1.0).answers(questions(5), "test")
    assert len(server.asked) == 1


def test_a_missing_package_says_how_to_get_it(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"package openai is not installed; get it with: pip install -e '\.\[hosted\]'"):
        Chat(endpoint(server), tmp_path, max_cost=1.0).answers(questions(1), "test")


def test_a_full_disk_stops_the_asking_and_keeps_what_it_took(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, write = iter(range(9)), os.write
    monkeypatch.setattr(os, "write", lambda file, text: write(file, text) if next(left, None) is not None else 0)
    with pytest.raises(UserError, match="answers.jsonl: cannot be written .No space left on device"):
        Chat(endpoint(server), tmp_path, max_cost=1.0).answers(questions(20), "test")
    monkeypatch.undo()
    chat = Chat(endpoint(server), tmp_path, max_cost=1.0)
    assert 0 < chat.usage.answers < 9 and server.billed <= chat.usage.cost + chat.usage.lost
    assert chat.usage.requests >= len(server.asked)


def test_what_is_kept_needs_no_key(server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Chat(endpoint(server), tmp_path, max_cost=1.0).answers(questions(2), "test")
    monkeypatch.delenv("SCRIPTED_KEY")
    assert texts(Chat(endpoint(server), tmp_path, max_cost=0.0).answers(questions(2), "test"))[1] == "question 1"
    assert json.loads((tmp_path / "answers.jsonl").read_text().splitlines()[0])["sent"] == 1

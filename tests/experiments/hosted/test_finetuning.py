"""Hosted fine-tuning: one job, paid for once, whatever happens between its creation and its end; at both providers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.config import Endpoint, Hosted
from experiments.endpoints.chat import Chat
from experiments.hosted.finetuning import dry_run, fine_tune
from experiments.hosted.openai import OpenAIJobs
from experiments.hosted.replies import replies
from experiments.hosted.together import TogetherJobs
from jaxft.data.example import Example, Message
from jaxft.errors import UserError
from tests.experiments.endpoints.server import KEY, Provider

EXAMPLES = [Example((Message("user", f"a room for {n}?"),), f"room {n} is yours") for n in range(12)]
CLIENTS = {"openai": OpenAIJobs, "together": TogetherJobs}


class Killed(BaseException):
    """As a kill at this moment: nothing is tidied up."""


@pytest.fixture(params=["openai", "together"])
def hosted(request: pytest.FixtureRequest, server: Provider) -> Hosted:
    endpoint = Endpoint("base", server.url, "SCRIPTED_KEY", timeout=20.0, attempts=2)
    return Hosted(request.param, endpoint, learning_rates=(0.5,), epochs=2, price_training=4.0)


@pytest.fixture
def train(hosted: Hosted, tmp_path: Path) -> Callable[[], str]:
    return lambda: fine_tune(hosted, EXAMPLES, tmp_path / "run", seed=7, learning_rate=0.5)


def test_a_job_gets_what_was_ordered(
    train: Callable[[], str], server: Provider, hosted: Hosted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = train()
    (job,) = server.jobs.created
    assert model == f"ft:base:{job['suffix']}" and job["model"] == "base"
    if hosted.provider == "openai":
        given = job["method"]["supervised"]["hyperparameters"]
        assert (given["n_epochs"], given["learning_rate_multiplier"], job["seed"]) == (2, 0.5, 7)
    else:
        assert (job["n_epochs"], job["learning_rate"], job["random_seed"]) == (2, 0.5, 7)
        assert job["training_method"] == {"method": "sft", "train_on_inputs": False}
    sent = [json.loads(line) for line in server.jobs.files[job["training_file"]].splitlines()]
    assert sent[3]["messages"] == [
        {"role": "user", "content": "a room for 3?"},
        {"role": "assistant", "content": "room 3 is yours"},
    ]
    assert len(sent) == 12
    err = capsys.readouterr().err
    assert f"fine-tuning {job['id']}: {'succeeded' if hosted.provider == 'openai' else 'completed'}" in err
    for path in (tmp_path / "run").iterdir():
        assert KEY not in path.read_text()
    assert KEY not in err


def test_what_is_done_is_not_done_again(
    train: Callable[[], str], server: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train()
    looks = server.jobs.looks
    monkeypatch.delenv("SCRIPTED_KEY")
    assert train() == model
    assert len(server.jobs.created) == 1 and server.jobs.looks == looks


@pytest.mark.parametrize("moment", ["before upload", "after upload", "before create", "after create", "while waiting"])
def test_a_kill_at_any_moment_makes_no_second_job(
    moment: str, train: Callable[[], str], server: Provider, hosted: Hosted
) -> None:
    client = CLIENTS[hosted.provider]
    when, _, name = moment.partition(" ")
    name = "status" if name == "waiting" else name
    whole = getattr(client, name)

    def killed(*arguments: Any) -> Any:
        if when != "before":
            whole(*arguments)
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(client, name, killed)
        train()
    assert train().startswith("ft:base:jaxft-")
    assert len(server.jobs.created) == 1


def test_a_creation_whose_answer_is_lost_is_found(train: Callable[[], str], server: Provider) -> None:
    server.jobs.lose_created = True
    with pytest.raises(UserError, match=r"/v1: a request failed .*\n.*continues the job that was begun"):
        train()
    assert train().startswith("ft:base:jaxft-")
    assert len(server.jobs.created) == 1


def test_a_server_error_while_waiting_is_survived(train: Callable[[], str], server: Provider, hosted: Hosted) -> None:
    first = {"openai": 3, "together": 8}[hosted.provider]  # the look after upload, search and creation
    server.jobs.faults.extend([0] * first + [500])
    assert train().startswith("ft:base:jaxft-")
    assert not server.jobs.faults and len(server.jobs.created) == 1


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_job_that_ends_badly_says_why_and_stays_ended(
    end: str, train: Callable[[], str], server: Provider, hosted: Hosted
) -> None:
    stage = "error" if (hosted.provider, end) == ("together", "failed") else end
    server.jobs.stages[hosted.provider] = ["running", stage]
    said = "the loss is not a number" if (hosted.provider, end) != ("openai", "cancelled") else "no reason given"
    for _ in range(2):
        with pytest.raises(UserError, match=rf"job job-0 ended as {stage}: {said}") as caught:
            train()
        assert "job.json to begin another job" in str(caught.value)
    assert len(server.jobs.created) == 1


@pytest.mark.parametrize("hosted", ["openai"], indirect=True)  # Together's jobs carry their name from the start
def test_a_job_that_ends_without_a_name_is_not_waited_for(train: Callable[[], str], server: Provider) -> None:
    server.jobs.nameless = True
    with pytest.raises(UserError, match="ended as succeeded: the provider names no model"):
        train()


def test_a_file_that_the_provider_refuses_is_told(train: Callable[[], str], server: Provider, hosted: Hosted) -> None:
    if hosted.provider == "openai":
        server.jobs.faults.append(400)
        said = "refuses .400.: a scripted 400"
    else:
        server.jobs.file_problem = "line 3 has no messages"
        said = "training.jsonl: together cannot train on this file: line 3 has no messages"
    with pytest.raises(UserError, match=said):
        train()
    assert server.jobs.created == []


def test_another_job_needs_another_folder(train: Callable[[], str], hosted: Hosted, tmp_path: Path) -> None:
    train()
    with pytest.raises(UserError, match=r"job.json: of another job: seed is 7 there and 8 now"):
        fine_tune(hosted, EXAMPLES, tmp_path / "run", seed=8, learning_rate=0.5)
    with pytest.raises(UserError, match=r"job.json: of another job: training_sha256 is"):
        fine_tune(hosted, EXAMPLES[1:], tmp_path / "run", seed=7, learning_rate=0.5)
    (tmp_path / "run" / "job.json").write_text("[]")
    with pytest.raises(UserError, match="job.json: no record of a job"):
        train()


def test_a_wrong_key_names_its_variable(
    train: Callable[[], str], monkeypatch: pytest.MonkeyPatch, server: Provider
) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", "wrong")
    with pytest.raises(UserError, match="refuses the key in SCRIPTED_KEY .401."):
        train()
    monkeypatch.delenv("SCRIPTED_KEY")
    with pytest.raises(UserError, match="environment variable SCRIPTED_KEY is not set"):
        train()


def test_a_dry_run_sends_nothing_and_needs_no_key(
    hosted: Hosted,
    server: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("SCRIPTED_KEY")
    found = dry_run(hosted, EXAMPLES, tmp_path)
    assert len(found.file.read_text().splitlines()) == found.examples == 12
    text = sum(len(example.messages[0].content + example.response) for example in EXAMPLES)
    assert found.tokens == text // 4 + 8 * 12
    assert found.cost == pytest.approx(found.tokens * 2 * 4.0 / 1e6)
    assert f"12 examples, about {found.tokens} tokens; 2 epochs of base at {hosted.provider}" in capsys.readouterr().err
    assert not server.jobs.files and not server.jobs.created


def test_the_model_that_comes_out_is_asked_at_the_same_endpoint(
    train: Callable[[], str], hosted: Hosted, server: Provider, tmp_path: Path
) -> None:
    model = train()
    chat = Chat(replace(hosted.endpoint, model=model), tmp_path / "answers", max_cost=1.0)
    assert [answer and answer.text for answer in replies(chat, EXAMPLES[:2], 16)] == ["a room for 0?", "a room for 1?"]
    assert {body["model"] for body in server.bodies} == {model}

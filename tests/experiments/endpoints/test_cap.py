"""What is spent: never more than the cap, whatever happens, and never twice for the same answer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from experiments.endpoints.chat import Answer, Chat
from tests.experiments.endpoints.asked import FAULTS, endpoint, questions
from tests.experiments.endpoints.server import Provider, provider


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(st.sampled_from([fault for fault in FAULTS if fault != "hang"]), max_size=12),
    rounds=st.lists(st.floats(0.0, 0.9), min_size=1, max_size=3).map(sorted),
    concurrency=st.integers(1, 5),
    dearest=st.booleans(),
)
@example(faults=[], rounds=[0.25], concurrency=4, dearest=True)  # what is under way counts
@example(faults=["cut"] * 4, rounds=[0.25], concurrency=1, dearest=True)  # and what was lost
def test_the_cap_holds_and_nothing_is_paid_twice(
    quick: None, faults: list[str], rounds: list[float], concurrency: int, dearest: bool
) -> None:
    with provider(faults) as server, tempfile.TemporaryDirectory() as folder:
        server.dearest = dearest
        wanted = questions(6)
        found: list[Answer | None] = []
        for cap in rounds:
            chat = Chat(endpoint(server, concurrency=concurrency, attempts=3), Path(folder), max_cost=cap)
            found = chat.answers(wanted, "test")
            assert server.billed <= cap + 1e-9
            assert chat.usage.cost <= server.billed + 1e-9 <= chat.usage.cost + chat.usage.lost + 2e-9
        for n, answer in enumerate(found):
            assert answer is None or answer.finish == "refusal" or answer.text == f"question {n}"
        in_vain = sum(fault in ("cut", "garbage", "gateway") for fault in faults)
        assert server.charged.total() <= sum(answer is not None for answer in found) + in_vain


def test_the_cap_stops_with_one_note_and_a_higher_one_goes_on(
    server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Chat(endpoint(server), tmp_path / "other", 1.0).estimate(questions(1))
    chat = Chat(endpoint(server), tmp_path, max_cost=1.5 * one)
    found = chat.answers(questions(20), "test")
    some = sum(answer is not None for answer in found)
    assert 0 < some < 20 and server.billed <= 1.5 * one
    assert capsys.readouterr().err.count(f"{20 - some} requests were not sent") == 1
    assert None not in Chat(endpoint(server), tmp_path, max_cost=10.0).answers(questions(20), "test")
    assert len(server.asked) == 20


def test_what_is_under_way_may_turn_out_cheaper_than_was_set_aside(server: Provider, tmp_path: Path) -> None:
    one = Chat(endpoint(server), tmp_path / "other", 1.0).estimate(questions(1))
    chat = Chat(endpoint(server), tmp_path, max_cost=2.4 * one)  # no room for four at once
    assert None not in chat.answers(questions(10), "test")
    assert server.billed <= 2.4 * one


def test_the_estimate_is_never_below_the_bill(server: Provider, tmp_path: Path) -> None:
    server.dearest = True
    chat = Chat(endpoint(server), tmp_path, max_cost=1.0)
    most = chat.estimate(questions(5))
    chat.answers(questions(5), "test")
    assert server.billed <= most + 1e-9 and chat.estimate(questions(5)) == 0.0


def test_without_a_bill_from_the_server_the_most_is_counted(server: Provider, tmp_path: Path) -> None:
    server.usage = False
    chat = Chat(endpoint(server), tmp_path, max_cost=1.0)
    most = chat.estimate(questions(2))
    chat.answers(questions(2), "test")
    assert chat.usage.cost == pytest.approx(most)

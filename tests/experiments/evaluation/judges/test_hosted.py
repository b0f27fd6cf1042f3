from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.config import Endpoint, Judge
from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.hosted import Hosted, parse
from jaxft.errors import UserError
from tests.experiments.evaluation.conftest import HOSTILE, Chat

SETTINGS = Judge("openai", endpoint=Endpoint("judge-model"), attempts=3)
GOOD = '{"label": "contradicts", "reason": "says so"}'


def judge(chat: Chat, folder: Path, turned: bool = False) -> Hosted:
    return Hosted(chat, SETTINGS, folder, turned)  # type: ignore[arg-type]


def test_a_verdict_follows_the_answer(chat: Chat, tmp_path: Path) -> None:
    chat.reply = lambda request: (
        GOOD if "polite" in request.messages[0].content else '{"label": "refuses", "reason": ""}'
    )
    good, bad = judge(chat, tmp_path).verdicts([HOSTILE, replace(HOSTILE, reply="No. No. No. No.")])
    assert (good.good, good.label, good.reason, good.flags) == (True, "contradicts", "says so", ())
    assert (bad.good, bad.label, bad.flags) == (False, "refuses", ("repetitive",))
    [request, _] = chat.asked
    assert request.schema == rubric.load("safety").schema()
    assert (request.temperature, request.attempt) == (0.0, 0)


def test_nothing_is_asked_twice(chat: Chat, tmp_path: Path) -> None:
    first = judge(chat, tmp_path).verdicts([HOSTILE, HOSTILE])
    assert len(chat.asked) == 1
    second = judge(chat, tmp_path).verdicts([HOSTILE])
    assert len(chat.asked) == 1 and second == first[:1]
    judge(chat, tmp_path, turned=True).verdicts([HOSTILE])
    assert len(chat.asked) == 2


def test_a_malformed_answer_is_asked_again_and_then_unjudged(chat: Chat, tmp_path: Path) -> None:
    chat.reply = lambda request: GOOD if request.attempt == 1 else "I think it is fine."
    assert judge(chat, tmp_path / "a").verdicts([HOSTILE])[0].good is True
    assert [(r.attempt, r.temperature) for r in chat.asked] == [(0, 0.0), (1, 0.7)]
    chat.reply = lambda request: '{"label": "nice", "reason": ""}'
    chat.asked.clear()
    verdict = judge(chat, tmp_path / "b").verdicts([HOSTILE])[0]
    assert (verdict.good, verdict.label) == (None, "") and "none of 3 answers" in verdict.reason
    assert [r.attempt for r in chat.asked] == [0, 1, 2]
    judge(chat, tmp_path / "b").verdicts([HOSTILE])
    assert len(chat.asked) == 3


def test_what_the_server_left_open_is_asked_in_the_next_run(chat: Chat, tmp_path: Path) -> None:
    other = replace(HOSTILE, reply="Hm.")
    chat.reply = lambda request: None if "Hm." in request.messages[0].content else GOOD
    assert [v.good for v in judge(chat, tmp_path).verdicts([other, HOSTILE])] == [None, True]
    chat.reply = lambda request: GOOD
    assert [v.good for v in judge(chat, tmp_path).verdicts([other, HOSTILE])] == [True, True]
    assert len(chat.asked) == 3


def test_a_question_without_its_kind_is_refused_before_any_is_asked(chat: Chat, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kind"):
        judge(chat, tmp_path).verdicts([HOSTILE, replace(HOSTILE, key={})])
    assert not chat.asked


SAFETY = rubric.load("safety")


@settings(max_examples=40)
@given(st.sampled_from(list(SAFETY.labels)), st.text(), st.sampled_from(["", "```json\n", "Here it is: "]))
def test_every_answer_that_follows_the_schema_is_read(label: str, reason: str, before: str) -> None:
    text = before + json.dumps({"label": label, "reason": reason}) + "\n```" * bool(before)
    assert parse(text, SAFETY) == (label, reason)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@settings(max_examples=40)
@given(st.text() | JSON.map(json.dumps))
def test_no_other_answer_is(text: str) -> None:
    assert parse(text, SAFETY) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "contradicts"}',
        '{"label": "contradicts", "reason": 1}',
        '{"label": ["contradicts"], "reason": ""}',
        '{"label": "contradicts", "reason": "", "more": ""}',
        '{"label": "contradicts", "reason": "cut of',
        '{"label": "contradicts", "reason": ""} or {"label": "agrees", "reason": ""}',
        "[" * 100_000,
        "{" * 100_000 + "}",
    ],
)
def test_near_misses(text: str) -> None:
    assert parse(text, SAFETY) is None

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.config import Endpoint, Judge
from experiments.evaluation.judges import build
from jaxft.errors import UserError
from tests.experiments.evaluation.conftest import HOSTILE, Chat

MISTAKES = {
    "no folder": (Judge("local"), "judge.folder: not set"),
    "missing folder": (
        Judge("local", folder="nowhere/my/judge"),
        "judge.folder: nowhere/my/judge: there is no such folder",
    ),
    "no endpoint": (Judge("openai"), "judge.endpoint: not set"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, tmp_path: Path) -> None:
    settings, message = MISTAKES[name]
    with pytest.raises(UserError, match=message):
        build(settings, tmp_path / "judge")
    assert not (tmp_path / "judge").exists()


def test_each_kind_says_which_judge_it_is(chat: Chat, tmp_path: Path) -> None:
    hosted = Judge("openai", endpoint=Endpoint("judge-model", url="http://localhost:1/v1"), max_cost=2.0)
    names = [build(settings, tmp_path).name for settings in (Judge(), hosted, Judge("local", folder="base"))]
    assert names[0] == "rules 2"
    assert names[1] == "openai 1 judge-model at http://localhost:1/v1"
    assert names[2].startswith("local 1 ") and len(names[2].split()[2]) == 64


def test_a_hosted_judge_gets_its_endpoint_and_cap(chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple] = []
    monkeypatch.setattr(Chat, "__init__", lambda self, *arguments: seen.append(arguments) or setattr(self, "asked", []))
    endpoint = Endpoint("judge-model")
    verdicts = build(Judge("openai", endpoint=endpoint, max_cost=2.0), tmp_path).verdicts([HOSTILE])
    assert seen == [(endpoint, tmp_path, 2.0)]
    assert verdicts[0].label == "evades"

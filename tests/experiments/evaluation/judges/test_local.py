from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.config import Judge
from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.local import Local
from jaxft.data.example import Example, Message
from jaxft.data.template import encode, encode_prompt
from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError
from jaxft.llama.checkpoint import load
from jaxft.llama.locate import SHIPPED_BASE
from jaxft.llama.model import forward
from tests.experiments.evaluation.conftest import HOSTILE

SETTINGS = Judge("local", folder="base")
ANSWER = replace(HOSTILE, rubric="knowledge", prompt="Capital of Italy?", reference="Rome", reply="Rome.", key={})
SHORT = rubric.Rubric("knowledge", 1, "Judge.", {"correct": "yes", "wrong": "no", "open": "?"}, {"all": ("correct",)})


@pytest.fixture(autouse=True)
def short_rubric(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rubric that fits the context of the small base."""
    monkeypatch.setattr(rubric, "load", lambda name: SHORT)


def log_ps(pairs: list[tuple[str, str]]) -> np.ndarray:
    """log p of each label and the end token after its question, token by token from the logits, in nat."""
    tokenizer = load_tokenizer(SHIPPED_BASE)
    examples = [Example((Message("user", text),), label) for text, label in pairs]
    rows = [encode(example, tokenizer, "tokenizer").tokens for example in examples]
    begins = [len(encode_prompt(example, tokenizer, "tokenizer")) for example in examples]
    tokens = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for row, one in zip(tokens, rows, strict=True):
        row[: len(one)] = one
    positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    logits = np.asarray(jax.jit(forward)(load(SHIPPED_BASE), tokens, positions, np.ones_like(tokens)), np.float64)
    shares = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return np.array(
        [
            sum(shares[i, at - 1, one[at]] for at in range(begin, len(one)))
            for i, (one, begin) in enumerate(zip(rows, begins, strict=True))
        ]
    )


def test_it_takes_the_label_that_gains_most_from_the_question(tmp_path: Path) -> None:
    empty = replace(ANSWER, prompt="", reference="", reply="")
    asked = [SHORT.text(question) + "\n\nAnswer with one label." for question in (ANSWER, empty)]
    found = log_ps([(text, label) for text in asked for label in SHORT.labels]).reshape(2, -1)
    gains = dict(zip(SHORT.labels, found[0] - found[1], strict=True))
    verdict = Local(SETTINGS, tmp_path).verdicts([ANSWER])[0]
    assert verdict.label == max(gains, key=lambda label: gains[label])
    first, second = sorted(gains.values(), reverse=True)[:2]
    assert float(verdict.reason.split()[0]) == pytest.approx(first - second, abs=0.01)
    assert verdict.good == (verdict.label == "correct")


def test_labels_are_scored_with_their_end(tmp_path: Path) -> None:
    judge, text = Local(SETTINGS, tmp_path), SHORT.text(ANSWER) + "\n\nAnswer with one label."
    found = log_ps([(text, label) for label in SHORT.labels])
    np.testing.assert_allclose(judge._log_likelihoods(ANSWER, SHORT), found, rtol=1e-5)


def test_nothing_is_computed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Local(SETTINGS, tmp_path).verdicts([ANSWER])
    monkeypatch.setattr(Local, "_log_likelihoods", None)
    assert Local(SETTINGS, tmp_path).verdicts([ANSWER]) == first
    with pytest.raises(TypeError):
        Local(SETTINGS, tmp_path, turned=True).verdicts([ANSWER])


def test_a_question_longer_than_the_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"judge.folder: a question has \d+ tokens, the context of .* is 512"):
        Local(SETTINGS, tmp_path).verdicts([replace(ANSWER, prompt="Capital of Italy? " * 200)])

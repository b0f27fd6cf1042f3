"""Scores of one model: likelihood against a direct computation, accuracy against the rule of the axis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments.evaluation.likelihood
from experiments.base_model import Base
from experiments.config import Axis, Evaluation
from experiments.config_loader import load_experiment
from experiments.data.sources import load_examples
from experiments.evaluation.evaluate import describe_axis, measure_axes
from experiments.evaluation.judges import Question, Verdict
from experiments.evaluation.scores import Scores
from experiments.evaluation.tasks import TASKS, task
from experiments.evaluation.tasks.task import Subject
from experiments.store.record import AxisDescription
from jaxft.data.example import Example, Message
from jaxft.data.source import Source
from jaxft.data.template import encode, encode_prompt
from jaxft.llama.model import forward
from jaxft.methods import Lora
from tests.experiments.world import CONTEXT, World, write_lines


@pytest.fixture(scope="module")
def base(world: World) -> Base:
    return Base(load_experiment(world.config).model)


@pytest.fixture(scope="module")
def texts(world: World, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Conversations, short texts and one that is longer than a row."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    records = [
        {"prompt": "A room for two on Monday.", "response": "Booked."},
        {"prompt": "A room.", "response": "Booked for two on Monday, and for three on Tuesday."},
        {"text": "On Monday the cat sat."},
        {"text": "By the old trees. " * 12},
        {"text": "A"},
    ]
    write_lines(Path(path), records)
    return Source(str(path))


def settings(**changes) -> Evaluation:
    return replace(Evaluation(axes={}, target=0.0, batch_size=4, max_new_tokens=4), **changes)


def likelihood(base: Base, source: Source, adapters=None, **changes) -> Scores:
    return TASKS["likelihood"].measure(Subject(base, base.model, adapters, settings(**changes)), source)


_forward = jax.jit(forward)


def direct(base: Base, source: Source, window: int) -> tuple[list[float], list[int]]:
    """(mean loss, tokens) of every example: one text or window at a time, log-softmax in float64."""
    means, counts = [], []
    for example in load_examples([source]):
        one = encode(example, base.tokenizer, base.settings.template)
        losses = []
        for start in range(0, len(one.tokens) - 1, window):
            inputs = one.tokens[start : min(start + window, len(one.tokens) - 1)]
            row = np.zeros((1, CONTEXT), np.int32)
            row[0, : len(inputs)] = inputs
            # One width means one compilation; attention looks back only, so what follows the text is not seen.
            logits = np.asarray(_forward(base.model, row, np.arange(CONTEXT)[None], np.ones_like(row)), np.float64)[0]
            for i in range(len(inputs)):
                if one.weights[start + i + 1]:
                    losses.append(np.logaddexp.reduce(logits[i]) - logits[i, one.tokens[start + i + 1]])
        means.append(np.mean(losses))
        counts.append(len(losses))
    return means, counts


@pytest.mark.parametrize("row_length", [128, 48])
def test_likelihood_is_the_mean_loss_of_the_learnt_tokens(base, texts, row_length) -> None:
    found = likelihood(base, texts, row_length=row_length)
    means, counts = direct(base, texts, row_length)
    np.testing.assert_allclose(found.values, means, rtol=1e-5)
    np.testing.assert_array_equal(found.weights, counts)
    assert found.replies == ()


@pytest.mark.parametrize(("row_length", "cause"), [(48, "48 tokens, evaluation.row_length,"), (9999, "the context")])
def test_texts_that_are_cut_are_counted(base, tmp_path, caplog, row_length, cause) -> None:
    write_lines(tmp_path / "texts.jsonl", [{"text": "By the old trees. " * 80}, {"text": "A"}])
    with caplog.at_level("INFO", "jaxft"):
        likelihood(base, Source(str(tmp_path / "texts.jsonl")), row_length=row_length)
    assert "1 of 2 texts have more than" in caplog.text and cause in caplog.text


@pytest.mark.parametrize("row_length", [128, 24])
def test_likelihood_of_all_replies_of_a_dialogue(base, tmp_path, row_length) -> None:
    turns = ["A room?", "For how many nights?", "Three, please.", "Booked, with pleasure.", "Thanks.", "Goodbye."]
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(turns)]
    (tmp_path / "talk.jsonl").write_text(json.dumps({"messages": messages}))
    source = Source(str(tmp_path / "talk.jsonl"), learn="all")
    found, (means, counts) = likelihood(base, source, row_length=row_length), direct(base, source, row_length)
    np.testing.assert_allclose(found.values, means, rtol=1e-5)
    np.testing.assert_array_equal(found.weights, counts)


def test_the_mean_of_an_axis_is_over_tokens() -> None:
    scores = Scores(np.array([1.0, 4.0]), np.array([3.0, 1.0]))
    assert scores.mean == pytest.approx(7 / 4)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batches_change_nothing(base, texts, batch_size) -> None:
    found, usual = likelihood(base, texts, batch_size=batch_size), likelihood(base, texts)
    np.testing.assert_allclose(found.values, usual.values, rtol=1e-5)
    np.testing.assert_array_equal(found.weights, usual.weights)


def test_buckets_change_nothing(base, texts, monkeypatch) -> None:
    usual = likelihood(base, texts)
    monkeypatch.setattr(experiments.evaluation.likelihood, "BUCKET", 16)
    np.testing.assert_allclose(likelihood(base, texts).values, usual.values, rtol=1e-5)


def test_a_row_is_never_longer_than_the_context(base, texts) -> None:
    found = likelihood(base, texts, row_length=100_000)
    np.testing.assert_allclose(found.values, direct(base, texts, base.model.config.max_positions)[0], rtol=1e-5)


def test_adapters_are_part_of_the_model(base, texts) -> None:
    method = Lora(learning_rates=(1.0,), rank=2)
    adapters = method.initial(base.model, jax.random.key(0), None)
    adapters = {name: replace(a, b=jnp.full_like(a.b, 0.3)) for name, a in adapters.items()}
    with_adapters = likelihood(base, texts, adapters)
    merged = TASKS["likelihood"].measure(Subject(base, method.merge(base.model, adapters), None, settings()), texts)
    assert np.abs(with_adapters.values - likelihood(base, texts).values).min() > 1e-4
    np.testing.assert_allclose(with_adapters.values, merged.values, rtol=1e-4)


def test_replies_are_judged_example_by_example(base, monkeypatch) -> None:
    source = Source("safety", "test", 3)
    answers = [base.tokenizer.encode(e.response, add_special_tokens=False) for e in load_examples([source])]
    seen = []

    def reply(model, prompts, **keywords):
        seen.append((prompts, keywords))
        return [answers[0], answers[2], answers[2]]

    monkeypatch.setattr(task, "generate", reply)
    found = TASKS["safety"].measure(Subject(base, base.model, None, settings(max_new_tokens=9, batch_size=7)), source)
    np.testing.assert_array_equal(found.values, [1, 0, 1])
    np.testing.assert_array_equal(found.weights, [1, 1, 1])
    assert found.mean == pytest.approx(2 / 3)
    assert found.replies[0] == load_examples([source])[0].response
    [(prompts, keywords)] = seen
    expected = [encode_prompt(e, base.tokenizer, "tokenizer") for e in load_examples([source])]
    assert prompts == expected
    assert keywords == {"max_new_tokens": 9, "batch_size": 7, "adapters": None}


class Sceptic:
    """A judge that finds short replies good, long ones bad, and says nothing of those that mention rooms."""

    name = "sceptic"
    usage: dict[str, float] = {}

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        self.questions = questions
        return [
            Verdict(None, "", "") if "room" in q.reply else Verdict(len(q.reply) < 9, "label", "", ("empty",))
            for q in questions
        ]


def test_a_judge_sees_prompt_reply_and_what_is_right() -> None:
    turns = (Message("user", "Is it Monday?"), Message("assistant", "It is."), Message("user", "A room?"))
    example = Example(turns, "Booked.", {"kind": "hostile", "group": "g", "answers": '["Yes"]'})
    sceptic = Sceptic()
    replies = ["Booked.", "Booked, and gladly.", "No room.", None]
    found = TASKS["judged_safety"].scores([example] * 4, replies, [False, True, False, False], sceptic)
    np.testing.assert_array_equal(found.values, [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(found.judged, [True, True, False, False])
    assert found.mean == 0.5
    assert found.labels == ("label; empty", "label; empty", "unjudged", "")
    assert found.replies == ("Booked.", "Booked, and gladly.", "No room.", "")
    assert len(sceptic.questions) == 3  # what was never replied is not judged
    assert sceptic.questions[0] == Question(
        "safety",
        "user: Is it Monday?\nassistant: It is.\nuser: A room?",
        "Booked.",
        "Booked.",
        {"kind": "hostile", "answers": '["Yes"]'},
    )
    assert sceptic.questions[1].key["truncated"] == "yes"
    nothing = TASKS["judged_safety"].scores([example], [None], [False], sceptic)
    assert np.isnan(nothing.mean) and not nothing.judged.any()


def test_a_likeness_is_a_degree() -> None:
    example = Example((Message("user", "Which town?"),), "the old town")
    found = TASKS["f1"].scores([example, example], ["old harbour", None], [False, False])
    np.testing.assert_allclose(found.values, [0.5, np.nan])


def test_prompts_that_leave_no_room_lose_their_beginning(base, monkeypatch, capsys) -> None:
    source = Source("somewhere")
    examples = [Example((Message("user", text),), "Booked.") for text in ("A room? " * 60, "A room?")]
    monkeypatch.setattr(task, "load_examples", lambda wanted: examples)
    found = TASKS["exact"].measure(Subject(base, base.model, None, settings()), source)
    assert len(found.values) == 2
    assert f"1 of 2 prompts have more than {CONTEXT - 4} tokens and lose their beginning" in capsys.readouterr().err


def test_a_choice_is_right_where_it_is_the_response(base, monkeypatch) -> None:
    source = Source("somewhere")
    examples = [
        Example((Message("user", prompt),), response, options=("Yes.", "No."))
        for prompt in ("Is it Monday?", "A room?")
        for response in ("Yes.", "No.")
    ]
    monkeypatch.setattr(task, "load_examples", lambda wanted: examples if wanted == [source] else None)
    found = TASKS["choice"].measure(Subject(base, base.model, None, settings()), source)
    np.testing.assert_array_equal(found.values, [e.response == r for e, r in zip(examples, found.replies, strict=True)])
    assert found.values[0] + found.values[1] == found.values[2] + found.values[3] == 1
    assert set(found.replies) <= {"Yes.", "No."} and found.weights.tolist() == [1] * 4


def test_every_axis_on_its_own_split(base, world, monkeypatch) -> None:
    seen = []

    def measure(self, subject, source, judge):
        seen.append((self.name, source))

    for kind in {type(one) for one in TASKS.values()}:
        monkeypatch.setattr(kind, "measure", measure)
    evaluation = load_experiment(world.config).evaluation
    for validation in (False, True):
        assert list(measure_axes(base, base.model, None, evaluation, validation=validation)) == list(evaluation.axes)
    axes = list(evaluation.axes.values())
    assert seen == [*((a.task, a.source) for a in axes), *((a.task, a.validation) for a in axes)]


def test_an_axis_as_the_record_states_it() -> None:
    hotel = Source("hotel", "test", 5)
    assert describe_axis(Axis("hotel", hotel, hotel)) == AxisDescription(
        task="hotel", metric="accuracy", unit="fraction", higher_is_better=True, examples=5
    )
    assert describe_axis(Axis("choice", hotel, hotel)).task == "choice of hotel"
    assert describe_axis(Axis("likelihood", hotel, hotel)) == AxisDescription(
        task="likelihood of hotel", metric="loss", unit="nat/token", higher_is_better=False, examples=5
    )

"""The rival does the same work; these tests need torch, transformers and peft."""

from __future__ import annotations

import math

import pytest

from experiments.benchmarks import ours, rival
from experiments.benchmarks.contest import measure
from tests.experiments.benchmarks.toy import toy

needs_rival = pytest.mark.skipif(bool(rival.missing()), reason="needs torch, transformers and peft")


def test_an_absent_rival_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rival, "missing", lambda: ["torch", "peft"])
    assert rival.describe(toy()) == {"available": False, "reason": "not installed: torch, peft"}


@needs_rival
def test_it_says_where_it_runs() -> None:
    found = rival.describe(toy())
    assert found["available"] and found["platform"] in ("cpu", "cuda") and found["threads"] >= 1
    assert set(found["versions"]) == {"torch", "transformers", "peft"}


@needs_rival
def test_it_trains_as_many_parameters() -> None:
    settings = toy(rounds=1, methods=("lora", "full"))
    counts = {}
    for side in (ours, rival):
        for found in measure(side.contestants(settings, "train"), 1):
            counts.setdefault(found["work"], set()).add(found["trained_parameters"])
    assert counts["full"] == {settings.config.parameter_count}
    shapes = settings.config.linear_shapes.values()
    assert counts["lora"] == {settings.config.num_layers * sum(2 * (d + n) for d, n in shapes)}


@needs_rival
def test_its_batch_and_loss_are_ours() -> None:
    import torch

    settings = toy()
    rows, model = ours.batch(settings), rival._model(settings, "float32")
    assert model.config._attn_implementation == "sdpa" and model.config.attention_dropout == 0
    tokens = torch.from_numpy(rows["tokens"]).long()
    labels = tokens.masked_fill(torch.from_numpy(rows["segments"]) == 0, -100)
    with torch.no_grad():
        out = model(input_ids=tokens, labels=labels, use_cache=False)
        chosen = out.logits.log_softmax(-1).gather(-1, torch.from_numpy(rows["targets"]).long()[..., None])[..., 0]
        weights = torch.from_numpy(rows["weights"])
        assert math.isclose(float(-(chosen * weights).sum() / weights.sum()), float(out.loss), rel_tol=1e-5)


@needs_rival
@pytest.mark.parametrize("part", ["train", "generation"])
def test_bfloat16_and_checkpointing_run(part: str) -> None:
    settings = toy(dtype="bfloat16", remat="full", methods=("lora", "full"))
    entered = rival.contestants(settings, part)
    assert len(entered) == (2 if part == "train" else 1)
    for contestant in entered:
        with contestant.open() as opened:
            opened.run(1)


@needs_rival
def test_calibration_has_no_counterpart() -> None:
    assert rival.contestants(toy(), "calibration") == []

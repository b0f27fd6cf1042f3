"""`jaxft assess`: a fine-tune against its base, without a config."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.config import Source
from experiments.runs import assess
from experiments.runs.checks import check
from tests.experiments.world import one_error


def test_the_shipped_base_and_files_of_the_user(world) -> None:
    text, domain = (str(world.folder / f"{name}.jsonl") for name in ("other", "domain"))
    alone = assess.assessment("base", "base", None, None)
    both = assess.assessment("base", "base", text, domain)
    check(alone)
    check(both)
    assert alone.domain == () and both.domain == (Source(domain),)
    assert list(alone.evaluation.axes) == ["safety", "knowledge"]
    assert list(both.evaluation.axes) == ["proficiency", "text", "safety", "knowledge"]
    assert alone.reference is not None and both.reference is not None
    assert both.reference.sources == (*alone.reference.sources, Source(text))
    assert alone.name == "assess_base" and alone.model.template == "tokenizer"


def test_a_base_without_chat_template_reads_plain_text_within_its_context(own_world) -> None:
    folder = own_world.folder / "model"
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    found = assess.assessment(str(folder), "../any where/x y", None, None)
    assert found.model.template == "plain" and found.name == "assess_x_y"
    assert found.reference is not None and found.reference.length == found.evaluation.row_length == 160


def test_the_longest_text_is_read_whole_within_the_context(world, tmp_path) -> None:
    path = tmp_path / "long.jsonl"
    for words, expected in ((300, range(301, 512)), (3000, [512])):
        path.write_text(json.dumps({"text": "On Monday " + "room " * words}))
        found = assess.assessment("base", "base", None, str(path))
        assert found.reference is not None and found.reference.length == 256
        assert found.evaluation.row_length in expected and found.evaluation.batch_size <= 64 * 256 // 300


def test_scores_and_record(world, done, tmp_path, capsys, monkeypatch) -> None:
    """With few shipped examples, which is as much as a test can wait for."""
    whole = assess.assessment

    def few(*words: str | None):
        found = whole(*words)
        axes = found.evaluation.axes
        axes = {name: replace(axis, source=replace(axis.source, limit=3)) for name, axis in axes.items()}
        assert found.reference is not None
        sources = tuple(replace(one, limit=10) for one in found.reference.sources)
        reference = replace(found.reference, sources=sources, length=32)
        return replace(found, evaluation=replace(found.evaluation, axes=axes, max_new_tokens=4), reference=reference)

    monkeypatch.setattr(assess, "assessment", few)
    folder, domain = done.out / "full/lr_0.003/seed_0/model", world.folder / "domain.jsonl"
    words = [
        str(world.folder / "model"),
        str(folder),
        "--domain",
        str(domain),
        "--text",
        str(world.folder / "other.jsonl"),
    ]
    assert main(["assess", *words, "--out", str(tmp_path / "out")]) == 0
    said, record = capsys.readouterr().out, json.loads((tmp_path / "out" / "record.json").read_text())
    assert "proficiency loss" in said and "report.html" in said
    tuned = record["methods"]["tuned"]
    assert list(tuned["axes"]) == ["proficiency", "text", "safety", "knowledge"]
    assert tuned["axes"]["proficiency"]["change"] < 0
    assert tuned["certificate"]["logit_kl"] > 0 and tuned["certificate"]["domain"]["logit_kl"] > 0
    assert tuned["certificate"]["movement"]["linears"].keys() == {"q", "k", "v", "o", "gate", "up", "down"}
    assert main(["gate", str(tmp_path / "out")]) in (0, 3, 4)


@pytest.mark.parametrize("mistake", ["no base", "no fine-tune", "other architecture", "no text", "no domain", "option"])
def test_mistakes_leave_nothing(world, tmp_path, capsys, mistake) -> None:
    base = tuned = world.folder / "model"
    more, message = [], {"no text": "none.jsonl", "no domain": "none.jsonl", "option": "--steps"}.get(mistake, "theirs")
    theirs = tmp_path / "theirs"
    match mistake:
        case "no base":
            base = theirs
        case "no fine-tune":
            tuned = theirs
        case "other architecture":
            tuned, message = Path("base"), "is no fine-tune of model.folder"
        case "option":
            more = ["--steps", "3"]
        case _:
            more = [f"--{mistake.removeprefix('no ')}", str(tmp_path / "none.jsonl")]
    assert main(["assess", str(base), str(tuned), "--out", str(tmp_path / "out"), *more]) == 1
    assert message in one_error(capsys)
    assert not (tmp_path / "out").exists()

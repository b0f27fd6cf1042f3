"""Reference text that the base writes itself: sampled once, exact to the token, and looked at for test data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.base_model import Base
from experiments.config import Experiment, Generated, Reference
from experiments.config_loader import load_experiment
from experiments.data import generated
from experiments.data.describe import contamination
from experiments.data.generated import texts, turns
from experiments.data.sources import load_examples
from experiments.runs.calibrate import Calibration
from experiments.runs.checks import check
from jaxft.data.example import Example, Message
from jaxft.data.source import Source
from jaxft.data.template import encode
from jaxft.errors import UserError
from tests.experiments.test_two_processes import MESH, ROWS, together
from tests.experiments.world import World

FREE = Generated(count=6, max_new_tokens=12)


@pytest.fixture(scope="module")
def experiment(world: World) -> Experiment:
    return load_experiment(world.config)


@pytest.fixture(scope="module")
def base(experiment: Experiment) -> Base:
    return Base(experiment.model)


@pytest.fixture(scope="module")
def replies(experiment: Experiment) -> Generated:
    """Replies to the domain's prompts."""
    return replace(FREE, count=4, prompts=experiment.domain)


def test_it_is_sampled_once(base, tmp_path, monkeypatch) -> None:
    first = texts(base, FREE, 4, tmp_path)
    assert len(first) == 6 == len({example.response for example in first})
    (path,) = tmp_path.glob("*.jsonl")
    assert path.suffix == ".jsonl"
    monkeypatch.setattr(generated, "generate", None)
    assert texts(base, FREE, 4, tmp_path) == first


def test_a_file_of_more_texts_than_asked_for_is_named(base, tmp_path) -> None:
    texts(base, FREE, 4, tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text() + path.read_text())
    with pytest.raises(UserError, match=f"{path}: found 12 texts, expected at most 6; delete it"):
        texts(base, FREE, 4, tmp_path)


@pytest.mark.parametrize("change", [{"seed": 1}, {"temperature": 0.5}, {"count": 5}, {"max_new_tokens": 11}])
def test_another_setting_is_another_text(base, tmp_path, change: dict[str, Any]) -> None:
    first = texts(base, FREE, 4, tmp_path)
    assert texts(base, replace(FREE, **change), 4, tmp_path) != first
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_another_template_model_or_prompt_is_another_file(base, replies, own_world, tmp_path) -> None:
    out = tmp_path / "out"
    texts(base, replies, 4, out)
    plain = Base(replace(base.settings, template="plain"))
    texts(plain, replies, 4, out)
    other = replace(replies, prompts=(Source(f"{own_world.folder}/validation.jsonl"),))
    texts(base, other, 4, out)
    weights = own_world.folder / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    texts(Base(replace(base.settings, folder=str(own_world.folder / "model"))), replies, 4, out)
    assert len(list(out.glob("*.jsonl"))) == 4


def test_control_tokens_that_the_base_writes_stay_tokens(base, tmp_path, monkeypatch) -> None:
    tokenizer = base.tokenizer
    ids = tokenizer.encode("<|user|>A room.<|assistant|>Booked.", add_special_tokens=False)
    monkeypatch.setattr(generated, "generate", lambda model, prompts, **_: [ids for _ in prompts])
    (example,) = texts(base, replace(FREE, count=1), 4, tmp_path)
    found = encode(example, tokenizer, base.settings.template)
    assert found.tokens.tolist() == [tokenizer.bos_token_id, *ids]
    assert found.weights.tolist() == [0, *(1 for _ in ids)]
    assert turns(example, tokenizer) == [Example((Message("user", "A room."),), "Booked.")]
    assert len(encode(replace(example, control=False), tokenizer, "plain").tokens) > len(found.tokens)
    assert turns(Example((), "One piece.", control=True), tokenizer) == [Example((), "One piece.")]


def test_replies_are_in_the_chat_template(base, replies, experiment, tmp_path) -> None:
    found = texts(base, replies, 4, tmp_path)
    asked = load_examples(experiment.domain)
    assert [one.messages for one in found] == [asked[i].messages for i in (0, 3, 6, 9)]
    assert not any(one.control for one in found) and all(one.response for one in found)
    assert turns(found[0], base.tokenizer) == [found[0]]


def test_what_is_empty_or_too_long_is_left_out(base, replies, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(generated, "generate", lambda model, prompts, **_: [[], [300], [300], [300]][: len(prompts)])
    assert len(texts(base, replies, 4, tmp_path)) == 3
    assert "left out 1 of 4" in capsys.readouterr().err
    with pytest.raises(UserError, match="the base wrote nothing; raise count or max_new_tokens"):
        texts(base, replace(replies, max_new_tokens=155), 4, tmp_path)


def test_it_joins_the_sources_on_both_sides(base, experiment, replies, tmp_path) -> None:
    reference = replace(experiment.reference, generated=(FREE, replies))
    calibration = Calibration(replace(experiment, reference=reference), base, tmp_path)
    text = calibration.text
    assert len(text.fit) + len(text.heldout) == 15 + 6 + 4
    assert any(e.control for e in text.heldout) and any(e.control for e in text.fit)
    parts = calibration.describe_text()
    assert [part["examples"] for part in parts] == [15, 6, 4] and all(part["tokens"] > 0 for part in parts)
    assert [part["text"].split("/")[-1] for part in parts] == ["train", "generated[0]", "generated[1]"]
    alone = Calibration(experiment, base, tmp_path)
    assert alone.files.folder != calibration.files.folder


def test_it_may_be_all_there_is(base, experiment, tmp_path) -> None:
    reference = replace(experiment.reference, sources=(), generated=(FREE,))
    calibration = Calibration(replace(experiment, reference=reference), base, tmp_path)
    calibration.measure()
    assert len(calibration.files) == 2


def test_copies_of_test_data_are_found_in_it(experiment) -> None:
    (axis,) = [axis for name, axis in experiment.evaluation.axes.items() if name == "proficiency"]
    copy = load_examples([axis.source])[0]
    assert contamination(experiment)["proficiency"]["reference"]["exact"] == 0
    assert contamination(experiment, written=[copy])["proficiency"]["reference"]["exact"] == 1
    other = replace(copy, response="Something else.")
    assert contamination(experiment, written=[other])["proficiency"]["reference"]["prompt"] == 1


def test_a_comparison_uses_it_and_says_so(own_world: World, tmp_path: Path) -> None:
    config = Path(own_world.config)
    text = config.read_text()
    text = re.sub(r"sources=\(file\(\"reference\"\),\)", "generated=(Generated(count=8, max_new_tokens=16),)", text)
    text = re.sub(r'\n +"(full|lora|safety|knowledge)": .*', "", text.replace("Axis,", "Axis, Generated,", 1))
    config.write_text(text.replace("seeds=(0, 1)", "seeds=(0,)"))
    assert own_world.run("compare", tmp_path / "out") == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    (part,) = record["reference"]
    assert part["text"] == "generated[0]" and part["examples"] == 8 and part["tokens"] > 8
    assert record["contamination"]["proficiency"]["reference"]["examples"] == 8
    (kept,) = (tmp_path / "out" / "calibration" / "generated").glob("*.jsonl")
    assert len(kept.read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (Reference(), "reference: found .*, expected at least one Source or Generated"),
        (Reference(generated=(replace(FREE, count=0),)), r"generated\[0\].count: found 0, expected at least 1"),
        (Reference(generated=(replace(FREE, max_new_tokens=0),)), "max_new_tokens: found 0, expected at least 1"),
        (Reference(generated=(replace(FREE, max_new_tokens=160),)), "max_new_tokens: found 160, expected at most 159"),
        (Reference(generated=(replace(FREE, temperature=-1.0),)), "temperature: found -1.0, expected 0 or a number"),
        (Reference(generated=(replace(FREE, temperature=0.0),)), "without prompts all texts would be the same"),
    ],
)
def test_impossible_settings(experiment, reference: Reference, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(replace(experiment, reference=reference))


def test_impossible_prompts(experiment, world) -> None:
    def refused(settings: Generated, message: str) -> None:
        with pytest.raises(UserError, match=message):
            check(replace(experiment, reference=Reference(generated=(settings,))))

    refused(Generated(13, 8, experiment.domain), r"generated\[0\].count: found 13, expected at most 12, the prompts")
    plain = (Source(f"{world.folder}/reference.jsonl"),)
    refused(Generated(3, 8, plain), r"generated\[0\].prompts: holds plain text, expected examples with a prompt")


@pytest.mark.slow  # starts JAX three times
def test_two_processes_write_it_once(own_world: World, tmp_path: Path) -> None:
    config = Path(own_world.config)
    text = config.read_text().replace("Axis,", "Axis, Generated,", 1)
    config.write_text(text.replace('sources=(file("reference"),)', "generated=(Generated(8, 6),)"))
    words = ["calibrate", str(config), "--out", str(tmp_path / "out"), *ROWS, *MESH]
    leader, other = together(tmp_path, [words])
    assert leader.codes == other.codes == [0] and other.written == []
    (kept,) = (tmp_path / "out" / "calibration" / "generated").glob("*.jsonl")
    assert len(kept.read_text().splitlines()) == 8
    assert "the base writes 8 texts" in leader.err and "the base writes" not in other.err

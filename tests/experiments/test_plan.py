"""`jaxft plan`: a table and a record, and mistakes that show before anything is compiled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import plan as planning
from experiments.cli import main
from experiments.plan import model_shape
from experiments.settings import load_experiment
from jaxft.llama.config import SHAPES
from tests.experiments.world import World, one_error


def test_a_plan_for_the_attached_device(world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "plan.json"
    assert main(["plan", world.config, "--method", "projection", "--rank", "4", "--json", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["topology", "chips", "method"]
    assert "projection" in lines[1] and "4 x 64" in lines[1] and " yes " in lines[1]
    assert "Bases of 4 directions" in lines[-1]
    record = json.loads(path.read_text())
    (one,) = record["plans"]
    assert one["fits"] and one["peak"] > one["trained"] > 0 and one["tokens_per_second_per_chip"] is None
    assert record["config"]["name"] == "world" and record["assumed_rank"] == 4


def test_a_published_shape_stands_in_for_a_folder_that_is_not_here() -> None:
    experiment = load_experiment("configs/llama2_7b_hotel.py")
    assert model_shape(experiment) == SHAPES["llama2_7b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "lor"), "--method: found 'lor', expected one of full, lora, projection"),
        (("--rank", "0"), "--rank: found 0, expected at least 1"),
        (("--topology", "v5e"), "--topology 'v5e': expected GENERATION:SHAPE"),
        (("--model.sharding.preset", "fsdp"), "evaluation.batch_size 4 is not a multiple of 8"),
        (("--model.folder", "/nowhere"), "/nowhere"),
    ],
)
def test_mistakes_show_before_anything_is_compiled(
    world: World, words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(planning, "plan_step", None)
    assert main(["plan", world.config, *words]) == 1
    assert message in one_error(capsys)

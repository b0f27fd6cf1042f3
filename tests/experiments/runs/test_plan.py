"""`jaxft plan`: a table and a record, and mistakes that show before anything is compiled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.config_loader import load_experiment
from experiments.runs import plan as planning
from experiments.runs.plan import model_shape
from jaxft.llama.config import SHAPES
from tests.experiments.world import World, one_error
from tests.jaxft.planning import test_search


def test_a_plan_for_the_attached_device(world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "plan.json"
    assert main(["plan", world.config, "--method", "projection", "--rank", "4", "--json", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["topology", "chips", "program"]
    assert "projection" in lines[1] and "4 x 64" in lines[1] and " yes " in lines[1]
    assert "Bases of 4 directions" in "".join(lines)
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
        (("--topology", "v5e"), "topology 'v5e': expected KIND:SHAPE"),
        (("--topology", "h100:many"), "topology 'h100:many': expected h100:COUNT"),
        (("--model.sharding.preset", "fsdp"), "evaluation.batch_size 4 is not a multiple of 8"),
        (("--model.folder", "/nowhere"), "/nowhere"),
    ],
)
def test_mistakes_show_before_anything_is_compiled(
    world: World, words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(planning, "plan_program", None)
    assert main(["plan", world.config, *words]) == 1
    assert message in one_error(capsys)


def test_without_a_method_everything_that_runs_is_planned(world: World, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert main(["plan", world.config, "--json", str(path)]) == 0
    found = [one["program"] for one in json.loads(path.read_text())["plans"]]
    assert found == ["full", "lora", "projection", "calibration", "generation"]


def test_gpus_that_are_not_here_are_estimated(world: World, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "plan.json"
    words = [
        "plan",
        "configs/llama2_7b_hotel.py",
        "--topology",
        "h100:8",
        "--topology",
        "rtx4090:8",
        "--json",
        str(path),
    ]
    assert main(words) == 0
    said, messages = capsys.readouterr()
    assert "Lines marked ~ are by formula" in said and "h100:8" in said
    assert "Calibration and generation have no formula and are left out" in said
    assert "compil" not in messages
    plans = json.loads(path.read_text())["plans"]
    assert [(one["topology"], one["program"]) for one in plans] == [
        (topology, name) for topology in ("h100:8", "rtx4090:8") for name in ("full", "lora", "projection")
    ]
    assert {one["source"] for one in plans} == {"model"} and all(
        one["fits"] for one in plans if one["topology"] == "h100:8"
    )
    assert plans[0]["parameters"] == pytest.approx(6_738_415_616 * 2 / 8, rel=1e-3)


def test_find(world: World, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxft.planning.search.MOST_ROWS", 3)
    path = tmp_path / "plan.json"
    assert main(["plan", world.config, "--method", "lora", "--find", "--json", str(path)]) == 0
    said = capsys.readouterr().out
    (one,) = json.loads(path.read_text())["plans"]
    assert (one["remat"], one["rows"], one["accumulation"]) == ("nothing", 3, 1)  # a laptop has room for the cheapest
    assert "--model.remat nothing --training.batch_rows 3" in said


def test_find_takes_the_smallest_slice_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the compiler replaced by a rule, as every true answer takes minutes."""

    def need(self: planning.Planner, target: planning.Target, name: str, remat: str, rows: int):
        plan = test_search.PLAN
        state = {"full": 84, "lora": 14}[name] / target.chips
        peak = state + rows * {"nothing": 40, "dots": 10, "full": 1}[remat]
        return replace(
            plan, topology=target.name, program=name, remat=remat, rows=rows, peak=int(peak), fits=peak <= 16
        )

    monkeypatch.setattr(planning.Planner, "with_rows", need)
    words = ["plan", "configs/llama2_7b_hotel.py", "--find", "--topology", "v5e"]
    assert main([*words, "--method", "full"]) == 0
    assert "full on v5e:2x4: --model.remat full --training.batch_rows 5" in capsys.readouterr().out
    assert main([*words, "--method", "lora"]) == 0
    assert "lora on v5e:1x1: --model.remat full --training.batch_rows 2" in capsys.readouterr().out
    monkeypatch.setattr(planning, "SLICES", {"v5e": ("1x1", "2x2")})
    assert main([*words, "--method", "full"]) == 0
    assert "full: fits on none of v5e:1x1, v5e:2x2" in capsys.readouterr().out

"""What a sweep consists of, and who does which part of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.config import Sweep
from experiments.config_loader import changed, load
from experiments.store.record import encode
from experiments.sweep.record import sweep_record
from experiments.sweep.sweep import sweep as sweep_of
from experiments.sweep.units import Unit, units
from jaxft.data.source import Mix, Source
from jaxft.errors import UserError
from jaxft.io import write_json
from tests.experiments.report import builder


@pytest.fixture(scope="module")
def sweep(world) -> Sweep:
    return load(world.config, "sweep", Sweep)


def labels(found: list[Unit]) -> list[str]:
    return [unit.label for unit in found]


def test_a_change_of_one_method_makes_no_unit_of_another(sweep, tmp_path) -> None:
    found = units(sweep, tmp_path)
    assert labels(found) == ["lora, learning_rates 0.001", "projection", "lora, learning_rates 0.01"]
    assert [unit.experiment.methods.keys() for unit in found] == [{unit.method} for unit in found]
    rates = [unit.experiment.methods["lora"].learning_rates for unit in found if unit.method == "lora"]
    assert rates == [(0.001,), (0.01,)]
    assert not list(tmp_path.iterdir())


def test_all_combinations_then_the_points(sweep, tmp_path) -> None:
    source = Source("safety", limit=3)
    grid = {"methods.lora.rank": (1, 2), "training.steps": (2, 3)}
    points = ({"methods.lora.mix": Mix((source,), 0.5)}, {"reference.sources": (source, Source("general"))}, {})
    many = replace(sweep, grid=grid, points=points)
    many = replace(many, experiment=replace(many.experiment, methods={"lora": many.experiment.methods["lora"]}))
    found = units(many, tmp_path)
    assert labels(found)[:4] == [f"lora, rank {rank}, training.steps {n}" for rank in (1, 2) for n in (2, 3)]
    assert labels(found)[5:] == ["lora, reference.sources safety[:3]+general", "lora"]
    assert len({unit.folder for unit in found}) == 7
    alone = units(replace(many, grid={}, points=()), tmp_path)
    assert labels(alone) == ["lora"] and alone[0].folder == found[-1].folder


def test_the_folder_names_config_and_inputs_but_no_seeds_devices_and_levels(own_world, tmp_path) -> None:
    sweep = load(own_world.config, "sweep", Sweep)

    def folders(**changes) -> set[Path]:
        return {unit.folder for unit in units(replace(sweep, experiment=changed(sweep.experiment, changes)), tmp_path)}

    first = folders()
    assert folders(**{"model.sharding.preset": "fsdp", "evaluation.matched": (0.5,), "seeds": (4, 5)}) == first
    assert not folders(**{"training.steps": 9}) & first
    text = own_world.folder / "test.jsonl"
    text.write_text(text.read_text().replace("Monday", "Sunday"))
    assert not folders() & first


def test_a_record_of_other_seeds_is_made_anew(sweep, tmp_path) -> None:
    done, *_ = units(sweep, tmp_path)
    write_json(done.folder / "record.json", {**builder.build(), "seeds": list(sweep.experiment.seeds)})
    done.reopen()
    assert done.state == "done"
    more, *_ = units(replace(sweep, experiment=replace(sweep.experiment, seeds=(0, 1, 2, 3))), tmp_path)
    more.reopen()
    assert more.folder == done.folder and more.state == "open"


def test_a_sweep_that_another_version_began_is_refused(sweep, tmp_path) -> None:
    write_json(tmp_path / "units" / "1a2b" / "config.json", {"config": {}, "inputs": {}})
    with pytest.raises(UserError, match="units/1a2b: was begun by another version of jaxft"):
        units(sweep, tmp_path)


def test_a_record_of_an_earlier_version_is_refused(sweep, tmp_path) -> None:
    done, *_ = units(sweep, tmp_path)
    path = done.folder / "record.json"
    write_json(path, {**builder.build(), "format": 1})
    with pytest.raises(UserError, match=f"{path}: found record format 1, expected 2.* Delete its folder or choose"):
        done.reopen()
    assert path.is_file()


@pytest.mark.parametrize(
    ("grid", "points", "message"),
    [
        ({"training.stepz": (1,)}, (), "sweep.grid: training.stepz: unknown key 'stepz'; did you mean training.steps?"),
        (
            {},
            ({}, {"methods.lora.rang": 1}),
            r"sweep.points\[1\]: methods.lora.rang: .*did you mean methods.lora.rank",
        ),
        ({"methods.lroa.rank": (1,)}, (), "unknown key 'lroa'; did you mean methods.lora?"),
        ({"training.steps": (1, 2.5)}, (), "training.steps: found 2.5, expected int"),
        ({"seeds": ((1,), (2,))}, (), "sweep.grid: changes seeds, but every unit runs over all of them"),
        ({"reference.sources": (("safety",),)}, (), "reference.sources: found 'safety', expected Source"),
        ({"training.steps.x": (1,)}, (), "nothing lies below int"),
        ({"evaluation.watch.every": (1,)}, (), "watch is not set in this config"),
    ],
)
def test_a_change_that_fits_no_key_is_refused(sweep, tmp_path, grid, points, message) -> None:
    with pytest.raises(UserError, match=message):
        units(replace(sweep, grid=grid, points=points), tmp_path)


def test_whole_numbers_and_lists_fit_fields_of_fractions_and_tuples(sweep) -> None:
    found = changed(sweep.experiment, {"training.clip": 2, "seeds": [3, 4]})
    assert found.training.clip == 2.0 and type(found.training.clip) is float and found.seeds == (3, 4)


def test_a_finished_unit_gives_its_weights_back(sweep, tmp_path) -> None:
    unit = units(sweep, tmp_path)[0]
    run = unit.folder / "lora" / "lr_0.001" / "seed_0"
    for name in ("checkpoints", "model"):
        (run / name).mkdir(parents=True)
    (run / "result.json").write_text("{}")
    unit.free()
    assert [path.name for path in run.iterdir()] == ["result.json"]


def test_a_folder_of_something_else_is_refused(sweep, tmp_path) -> None:
    write_json(tmp_path / "one" / "config.json", {})
    with pytest.raises(UserError, match="one: holds a comparison; choose another folder"):
        sweep_of(sweep, tmp_path / "one", 1, "")
    write_json(tmp_path / "two" / "record.json", encode(sweep_record(replace(sweep, name="other"), [], "")))
    with pytest.raises(UserError, match="two: holds 'other', not the sweep '.*'; choose another folder"):
        sweep_of(sweep, tmp_path / "two", 1, "")

"""Records on disk: each that ships is read, written as it was and drawn; what is none is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.report import draw
from experiments.store.record import KINDS, decode, encode, read_record, write_record
from jaxft.errors import UserError
from tests.experiments.report import builder
from tests.experiments.world import REPOSITORY

RESULTS = sorted((REPOSITORY / "experiments" / "results").glob("*.json"))
OTHERS = ("benchmark_", "judge_check_", "lmeval_", "plan_")
RECORDS = [path for path in RESULTS if not path.name.startswith(OTHERS)]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_that_ships_is_read_and_drawn(path: Path, tmp_path: Path) -> None:
    record, on_disk = read_record(path), json.loads(path.read_text())
    assert encode(record) == on_disk and decode(encode(record), "again") == record
    assert type(record) is KINDS[on_disk["kind"]]
    text, main = draw(record, tmp_path)
    assert all(name[:40] in text for name in record.methods) and main.stat().st_size > 1000
    assert (tmp_path / "table.txt").read_text().strip() == text.strip()
    assert list(tmp_path.glob("*.png"))


def test_all_kinds_of_records_ship() -> None:
    assert len(RECORDS) >= 22
    assert {json.loads(path.read_text())["kind"] for path in RECORDS} == KINDS.keys()


@pytest.mark.parametrize("path", [path for path in RESULTS if path not in RECORDS], ids=lambda path: path.stem)
def test_a_record_of_another_command_is_not_taken_for_one_of_these(path: Path) -> None:
    assert json.loads(path.read_text())["format"] == 1
    with pytest.raises(UserError, match="found record format 1, expected 2"):
        read_record(path)


@pytest.mark.parametrize("make", [builder.build, builder.judged, lambda: builder.moving(builder.build(losses=True))])
def test_what_is_written_is_read_back(make: Any, tmp_path: Path) -> None:
    record = builder.typed(make())
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record


def changed(record: Any, keys: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The record with another value at `keys`; without the last of them where the value is `...`."""
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return record


LORA = ("methods", "lora")


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("format",), 1, "file: found record format 1, expected 2; another version of jaxft wrote it"),
        (("format",), ..., "file: found record format None, expected 2"),
        (("kind",), "benchmark", "file: found record kind 'benchmark', expected one of comparison, sweep, sequence"),
        (("seeds",), ..., "file: found no seeds, expected a ComparisonRecord"),
        ((*LORA, "sweep"), [], "file: methods.lora.sweep: unknown key, expected those of a MethodResult"),
        ((*LORA, "learning_rate"), "0.1", "file: methods.lora.learning_rate: found '0.1', expected float"),
        ((*LORA, "trained_parameters"), True, "file: methods.lora.trained_parameters: found 'True', expected int"),
        ((*LORA, "certificate", "spaces", 0, "rank"), None, "file: methods.lora.certificate.spaces.rank: found 'None'"),
        ((*LORA, "axes", "safety", "after_interval"), [0.5], "file: methods.lora.axes.safety.after_interval: found"),
        (("methods",), [], "file: methods: found '[]', expected"),
    ],
)
def test_what_is_no_record_is_refused_with_its_place(keys: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(UserError) as refused:
        decode(changed(builder.build(), keys, value), "file")
    assert message in str(refused.value)


@pytest.mark.parametrize("value", [None, [], "text", 2, {}, {"methods": {}}])
def test_other_json_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match="file: is no record of jaxft; give a record.json or its folder"):
        decode(value, "file")


def test_a_sweep_has_its_finished_units_as_methods() -> None:
    sweep = read_record(REPOSITORY / "experiments" / "results" / "ablation_energy.json")
    label, unit = next(iter(sweep.units.items()))
    assert sweep.methods[label] is unit.result and len(sweep.methods) == len(sweep.units)

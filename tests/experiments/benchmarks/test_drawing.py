"""Table and chart come from the record alone."""

from __future__ import annotations

import copy
import json

from experiments.benchmarks.drawing import chart, table, write_chart
from tests.experiments.benchmarks.conftest import Measured


def test_the_table_names_every_measurement_and_comparison(measured: Measured) -> None:
    record = json.loads((measured.out / "record.json").read_text())
    lines = table(record).splitlines()
    for entry in record["measurements"]:
        assert any(line.split()[:3] == [entry["part"], entry["work"], entry["side"]] for line in lines)
    for entry in record["comparisons"]:
        assert any(line.startswith(entry["name"]) and f"{entry['ratio']['median']:.3f}" in line for line in lines)
    assert max(map(len, lines)) <= 150


def test_a_missed_bar_and_a_full_device_stand_out(measured: Measured) -> None:
    record = copy.deepcopy(measured.record)
    record["comparisons"][0] |= {"least": 9.0, "met": False, "hint": "look here"}
    record["measurements"][0] |= {"failed": "out of memory", "rate": None, "seconds": []}
    text = table(record)
    assert "MISSED" in text and "missed its bar: look here" in text and "out of memory" in text
    bars = sum(len(panel.patches) for panel in chart(record).axes)
    assert bars == len(record["measurements"]) - 1


def test_planned_memory_is_marked(measured: Measured) -> None:
    record = copy.deepcopy(measured.record)
    record["measurements"][0]["memory"] = {"bytes": 3 * 2**20, "kind": "planned"}
    assert " 3 MiB*" in table(record)
    record["measurements"][0]["memory"]["kind"] = "measured"
    assert " 3 MiB " in table(record)


def test_an_absent_rival_is_named(measured: Measured) -> None:
    record = {**measured.record, "rival": {"available": False, "reason": "not installed: peft"}}
    assert "no rival (not installed: peft)" in table(record)


def test_the_chart_is_written(measured: Measured) -> None:
    path = write_chart(measured.record, measured.out)
    assert path.name == "benchmark.png" and path.read_bytes().startswith(b"\x89PNG")

"""TFDS builder of Dolly (Databricks 2023): instructions that people wrote, with their own answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from experiments.data.builders import raw
from experiments.data.builders.prepared import RawBuilder, Rows
from experiments.data.builders.splits import SPLITS, by_text
from experiments.data.contamination import normalised

UNKNOWN = "unknown"  # the category if a copy of the data lacks it
_REVISION = "bdd27f4d94b9c1f951818a7da7fd7aeea5dbff1a"


class Dolly(RawBuilder):
    """Rows of instruction, context, response and category.

    Copies of the data may lack context and category, or share rows. Rows with the same instruction and response count
    once, the first that has a category; without any category it is "unknown", and the row may lack a context that it
    needs. Splits are by instruction. If the manual folder has no file, the original file is downloaded at a fixed
    revision and checked against its published SHA-256.
    """

    UPSTREAM = {
        "rows": raw.Upstream(
            "https://huggingface.co/datasets/databricks/databricks-dolly-15k",
            (("databricks-dolly-15k.jsonl",), ("dolly_rows_0_4999.jsonl.gz", "dolly_full_rows_387.jsonl.gz")),
            "https://huggingface.co/datasets/databricks/databricks-dolly-15k/resolve/"
            f"{_REVISION}/databricks-dolly-15k.jsonl",
            "2df9083338b4abd6bceb5635764dab5d833b393b55759dffb0959b6fcbf794ec",
            13_085_339,
        )
    }

    def features(self) -> dict[str, Any]:
        return {name: tfds.features.Text() for name in ("instruction", "context", "response", "category")}

    def read(self, kind: str, paths: tuple[Path, ...]) -> tuple[Rows, dict[str, int]]:
        rows, counts = [], {}
        for path in paths:
            found = [_row(record, where) for where, record in raw.lines(path)]
            counts[f"rows of {path.name}"] = len(found)
            rows += found
        distinct: dict[tuple[str, str], dict[str, str]] = {}
        for row in sorted(rows, key=lambda row: row["category"] == UNKNOWN):
            distinct.setdefault((normalised(row["instruction"]), normalised(row["response"])), row)
        rows = list(distinct.values())
        counts["distinct rows"] = len(rows)
        splits = by_text([("", row["instruction"]) for row in rows])
        parts = {split: [row for row, its in zip(rows, splits, strict=True) if its == split] for split in SPLITS}
        return parts, counts


def _row(record: dict[str, Any], where: str) -> dict[str, str]:
    raw.columns(record, where, ("instruction", "response"), ("context", "category", "id"))
    return {
        "instruction": raw.text(record, "instruction", where),
        "context": raw.text(record, "context", where) if record.get("context") else "",
        "response": raw.text(record, "response", where),
        "category": raw.text(record, "category", where) if "category" in record else UNKNOWN,
    }

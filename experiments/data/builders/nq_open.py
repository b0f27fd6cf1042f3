"""TFDS builder of NQ-open (Lee et al. 2019, from Kwiatkowski et al. 2019): search questions with short answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from experiments.data.builders import raw
from experiments.data.builders.prepared import RawBuilder, Rows
from experiments.data.builders.splits import SPLITS, by_text
from jaxft.errors import UserError

_COMMIT = "a7a113c9fdc2d9986d624bd43b8a18d6d5779eaa"


class NqOpen(RawBuilder):
    """A question and all answers that count as right; the published development set, split anew by question.

    If the manual folder has no file, it is downloaded at a fixed commit and checked against the SHA-256 that TFDS
    registers for it.
    """

    UPSTREAM = {
        "dev": raw.Upstream(
            "https://github.com/google-research-datasets/natural-questions (nq_open)",
            (("NQ-open.dev.jsonl",), ("nq_open_dev.jsonl.gz",)),
            "https://raw.githubusercontent.com/google-research-datasets/natural-questions/"
            f"{_COMMIT}/nq_open/NQ-open.dev.jsonl",
            "f15567f38099f3615f5b8a685c0aef449c11ad90d3da3735e8d1b98115b40616",
            391_316,
        )
    }

    def features(self) -> dict[str, Any]:
        return {"question": tfds.features.Text(), "answers": tfds.features.Sequence(tfds.features.Text())}

    def read(self, kind: str, paths: tuple[Path, ...]) -> tuple[Rows, dict[str, int]]:
        rows = [_row(record, where) for where, record in raw.lines(paths[0])]
        splits = by_text([("", row["question"]) for row in rows])
        parts = {split: [row for row, its in zip(rows, splits, strict=True) if its == split] for split in SPLITS}
        return parts, {"questions": len(rows)}


def _row(record: dict[str, Any], where: str) -> dict[str, Any]:
    raw.columns(record, where, ("question", "answer"))
    answers = record["answer"]
    if not isinstance(answers, list) or not answers or not all(isinstance(one, str) and one for one in answers):
        raise UserError(f"{where}: 'answer' is {answers!r:.60}; expected a list of strings.")
    return {"question": raw.text(record, "question", where), "answers": answers}

"""TFDS builder of ToxiGen (Hartvigsen et al. 2022, arXiv:2203.09509): statements about groups, hostile and harmless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from experiments.data.builders import raw
from experiments.data.builders.prepared import RawBuilder, Rows
from experiments.data.builders.splits import SPLITS, by_text
from experiments.data.contamination import normalised
from jaxft.errors import UserError

NO_SCORE = -1.0
_COPY = ("text", "toxicity_score", "label", "target_groups")  # of microsoft/SafeNLP, which may have an "id" too
_RELEASED = ("text", "target_group", "toxicity_ai", "toxicity_human")
_RELEASED_TOO = (
    "factual?",
    "ingroup_effect",
    "lewd",
    "framing",
    "predicted_group",
    "stereotyping",
    "intent",
    "predicted_author",
    "actual_method",
)
_HATEFUL = 5.5  # sum of a released row's two scores above which the authors' code labels it "hate"


class Toxigen(RawBuilder):
    """Statements about groups of people, labelled "hate" or "neutral"; many are offensive.

    "prompts": the sentences that people wrote for the prompts, each once even if several prompts repeat it; without a
    score. "annotated": machine-written sentences that people judged, with their toxicity from 1 to 5; either the copy
    in microsoft/SafeNLP or the published columns, as JSON lines. The group is the first that is named. Splits are by
    text, within every label and group. Neither is downloaded: no checksum of the files is known.
    """

    UPSTREAM = {
        "prompts": raw.Upstream("https://github.com/microsoft/TOXIGEN (prompts)", (("toxigen_prompts.tar.gz",),)),
        "annotated": raw.Upstream(
            "https://huggingface.co/datasets/skg/toxigen-data (annotated, as JSON lines)",
            (("toxigen_annotated.jsonl.gz",), ("toxigen_annotated.jsonl",)),
        ),
    }

    def features(self) -> dict[str, Any]:
        text = tfds.features.Text
        return {"text": text(), "label": text(), "group": text(), "score": np.float32}

    def read(self, kind: str, paths: tuple[Path, ...]) -> tuple[Rows, dict[str, int]]:
        rows, counts = _prompts(paths[0]) if kind == "prompts" else _annotated(paths[0])
        splits = by_text([(f"{row['label']} {row['group']}", row["text"]) for row in rows])
        parts = {split: [row for row, its in zip(rows, splits, strict=True) if its == split] for split in SPLITS}
        return parts, counts


def _prompts(path: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    pattern, named = r"(?:.*/)?((?:hate|neutral)_\w+)_1k\.txt", "toxigen/prompts/hate_women_1k.txt"
    files = raw.members(path, pattern, _sentences, "prompt files", named)
    rows: dict[str, dict[str, Any]] = {}
    for name, sentences in files.items():
        label, group = name.split("_", 1)
        for sentence in sentences:
            row = {"text": sentence, "label": label, "group": group.replace("_", " "), "score": NO_SCORE}
            rows.setdefault(normalised(sentence), row)
    return list(rows.values()), {"prompt files": len(files), "distinct sentences": len(rows)}


def _sentences(content: bytes, where: str) -> list[str]:
    """The sentences of text like "- a sentence\\n- another\\n-", whose line ends are a backslash and an n."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text: {error}") from error
    sentences = {}
    for number, line in enumerate(lines, 1):
        for item in line.split("\\n"):
            if item and not item.startswith("-"):
                raise UserError(f'{where}, line {number} has {item!r:.40}; expected items like "- a sentence\\n".')
            sentences[item[1:].strip()] = None
    return [sentence for sentence in sentences if sentence]


def _annotated(path: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    rows = [_row(record, where) for where, record in raw.lines(path)]
    return rows, {"annotated sentences": len(rows)}


def _row(record: dict[str, Any], where: str) -> dict[str, Any]:
    if "target_groups" in record:
        raw.columns(record, where, _COPY, ("id",))
        label, groups, score = record["label"], record["target_groups"], _number(record, "toxicity_score", where)
        group = groups[0] if isinstance(groups, list) and groups else None
    else:
        raw.columns(record, where, _RELEASED, _RELEASED_TOO)
        score, group = _number(record, "toxicity_human", where), record["target_group"]
        label = "hate" if _number(record, "toxicity_ai", where) + score > _HATEFUL else "neutral"
    if label not in ("hate", "neutral"):
        raise UserError(f"{where}: 'label' is {label!r}; expected hate or neutral.")
    if not isinstance(group, str) or not group:
        raise UserError(f"{where} names no target group; found {group!r}, expected its name.")
    return {"text": raw.text(record, "text", where), "label": label, "group": group, "score": score}


def _number(record: dict[str, Any], name: str, where: str) -> float:
    value = record[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UserError(f"{where}: {name!r} is {value!r:.60}; expected a number.")
    return float(value)

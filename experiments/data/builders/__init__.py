"""Real datasets: raw files are prepared by TFDS, and their rows become examples.

TFDS is imported only when a dataset is requested, as its import is slow.
"""

from __future__ import annotations

import importlib
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxft.data.example import Example
from jaxft.errors import UserError

if TYPE_CHECKING:
    from experiments.data.builders.prepared import Prepared

SPLITS = ("train", "validation", "test")


class _Dataset(NamedTuple):
    module: str
    builder: str  # the class in the module
    kind: str  # the dataset of the builder
    example: str  # the function of `rows` that makes an example of a row, or of all rows of a dialogue
    whole: bool = False


DATASETS = {
    "star_steps": _Dataset("hotel", "Hotel", "star", "step"),
    "sgd_steps": _Dataset("hotel", "Hotel", "sgd", "step"),
    "multiwoz_steps": _Dataset("hotel", "Hotel", "multiwoz", "step"),
    "star_choices": _Dataset("hotel", "Hotel", "star", "choice"),
    "sgd_choices": _Dataset("hotel", "Hotel", "sgd", "choice"),
    "multiwoz_choices": _Dataset("hotel", "Hotel", "multiwoz", "choice"),
    "star_dialogues": _Dataset("hotel", "Hotel", "star", "dialogue", whole=True),
    "sgd_dialogues": _Dataset("hotel", "Hotel", "sgd", "dialogue", whole=True),
    "multiwoz_dialogues": _Dataset("hotel", "Hotel", "multiwoz", "dialogue", whole=True),
    "toxigen": _Dataset("toxigen", "Toxigen", "prompts", "statement"),
    "toxigen_annotated": _Dataset("toxigen", "Toxigen", "annotated", "statement"),
    "dolly": _Dataset("dolly", "Dolly", "rows", "instruction"),
    "nq_open": _Dataset("nq_open", "NqOpen", "dev", "question"),
}


def examples(source: str, split: str) -> list[Example]:
    """The examples of a split of a dataset, which is prepared first if necessary. Errors are those of `prepare`."""
    if split not in SPLITS:
        raise UserError(f"The dataset {source} has no split {split!r}; it has {', '.join(SPLITS)}.")
    make = getattr(importlib.import_module("experiments.data.builders.rows"), DATASETS[source].example)
    rows: list[Any] = _prepared(source).rows(split)
    if DATASETS[source].whole:
        rows = [list(steps) for _, steps in groupby(rows, key=itemgetter("dialogue"))]
    found = [example for example in map(make, rows) if example is not None]
    if not found:
        raise UserError(f"The split {split!r} of the dataset {source} holds no usable examples.")
    return found


def counts(source: str) -> dict[str, int]:
    """Counts of a dataset's raw files by name (dialogues, sentences, rows). Errors are those of `prepare`."""
    return _prepared(source).counts


def _prepared(source: str) -> Prepared:
    dataset = DATASETS[source]
    builder = getattr(importlib.import_module(f"experiments.data.builders.{dataset.module}"), dataset.builder)
    return importlib.import_module("experiments.data.builders.prepared").prepare(source, builder, dataset.kind)

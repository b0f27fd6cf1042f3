"""All data sources by name, and a hash that identifies the data of a run."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.data import builders
from experiments.data.builders import sgd_text, star_text, tinystories
from experiments.data.builders.raw import DATA_FOLDER
from experiments.data.corpora import general, knowledge, reading, safety
from experiments.data.corpora.agent import AGENTS
from jaxft.data import readers
from jaxft.data.example import Example, Message
from jaxft.data.readers.files import ENDINGS
from jaxft.data.source import Source
from jaxft.errors import UserError
from jaxft.io import expanded

CORPORA = {name: agent.examples for name, agent in AGENTS.items()} | {
    "knowledge": knowledge.examples,
    "safety": safety.examples,
    "general": general.examples,
    "reading": reading.examples,
}
CORPUS_SPLITS = ("train", "validation", "test")
_FILES = {
    "star": (star_text, "star_hotel.tar.gz"),
    "sgd": (sgd_text, "sgd_hotel.tar.gz"),
    "tinystories": (tinystories, "tinystories_1000.jsonl.gz"),
}


def load(source: str, split: str, limit: int | None = None) -> list[Example]:
    """`limit` examples (None: all) of a split of a source, evenly spaced over it.

    source: an embedded corpus (CORPORA); "star", "sgd" or "tinystories" (files in the folder that the environment
    variable JAXFT_TEST_DATA names); a real dataset that TFDS prepares (`experiments/data/builders`); or the path of a
    file (`jaxft.data.readers`), with ~ and $VARIABLES expanded, for which `split` has no effect. Raises UserError for
    an unknown source or split, a missing or malformed file, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise UserError(f"The limit of {source} is {limit}; it must be at least 1 example, or absent for all.")
    if source.endswith(ENDINGS):
        found = readers.examples(expanded(source))
    elif source in _FILES:
        module, name = _FILES[source]
        found = module.examples(_data_folder(source) / name, split)
    elif source in builders.DATASETS:
        found = builders.examples(source, split)
    elif source in CORPORA:
        if split not in CORPUS_SPLITS:
            raise UserError(f"The corpus {source} has no split {split!r}; it has {', '.join(CORPUS_SPLITS)}.")
        found = CORPORA[source](split)
    else:
        names = (*CORPORA, *_FILES, *builders.DATASETS)
        nearest = difflib.get_close_matches(source, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise UserError(
            f"Unknown data source {source!r}.{hint}\n"
            f"It is one of {', '.join(names)}, or the path of a file that ends in {', '.join(ENDINGS)}."
        )
    if limit is None or limit >= len(found):
        return found
    return [found[index * len(found) // limit] for index in range(limit)]


def load_examples(wanted: Iterable[Source]) -> list[Example]:
    """All examples of several sources, one source after the other; each source says what is learnt of its dialogues."""
    return [
        replace(example, learn=source.learn) if source.learn else example
        for source in wanted
        for example in load(source.name, source.split, source.limit)
    ]


def source_name(source: Source) -> str:
    """A source as the record names it: "knowledge/train[:800], learn all"."""
    limit = "" if source.limit is None else f"[:{source.limit}]"
    learn = (
        f", learn {source.learn if isinstance(source.learn, str) else '+'.join(source.learn)}" if source.learn else ""
    )
    return f"{source.name}/{source.split}{limit}{learn}"


def data_hashes(wanted: Iterable[Source]) -> dict[str, dict[str, Any]]:
    """Number and SHA-256 of the examples of every source, by `source_name`."""
    hashes = {}
    for source in wanted:
        examples = load_examples([source])
        hashes[source_name(source)] = {"examples": len(examples), "sha256": fingerprint(examples)}
    return hashes


def splits(source: str) -> tuple[str, ...]:
    """The splits of a source; for a file the one split "all"."""
    if source in _FILES:
        return _FILES[source][0].SPLITS
    return ("all",) if source.endswith(ENDINGS) else CORPUS_SPLITS


def fingerprint(examples: Sequence[Example]) -> str:
    """SHA-256 (hexadecimal) of the examples in their order: all that they hold except for their place in a file."""
    digest = hashlib.sha256()
    for example in examples:
        messages = [_fingerprint(message) for message in example.messages]
        record = {"messages": messages, "response": example.response, "key": dict(example.key)}
        new = {"options": example.options, "control": example.control, "tools": example.tools}
        new |= {"reply": _fingerprint(example.reply)[2:], "learn": example.learn if example.learn != "last" else ""}
        record |= {name: value for name, value in new.items() if value}
        digest.update(json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def _fingerprint(message: Message) -> list[Any]:
    rare = [dict(message.extra), message.learn] if message.extra or message.learn is not None else []
    return [message.role, message.content, *rare]


def _data_folder(source: str) -> Path:
    folder = os.environ.get(DATA_FOLDER)
    if not folder:
        raise UserError(
            f"The data source {source!r} is a file, and {DATA_FOLDER} is not set.\n"
            f"Set {DATA_FOLDER} to the folder that holds {_FILES[source][1]}."
        )
    return Path(folder)

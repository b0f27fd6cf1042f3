"""Splits that depend on the data alone: the same rows always fall into the same split."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from experiments.data.contamination import normalised

SPLITS = ("train", "validation", "test")


def by_text(rows: Sequence[tuple[str, str]]) -> list[str]:
    """The split of each row (stratum, text): 80 % train, 10 % validation, 10 % test of every stratum.

    Texts that are equal after normalisation count as one text of the stratum of the first, so no split holds a copy of
    another split's text. Within a stratum the order is that of the texts' SHA-256.
    """
    strata: dict[str, str] = {}
    for stratum, text in rows:
        strata.setdefault(normalised(text), stratum)
    members = defaultdict(list)
    for text, stratum in strata.items():
        members[stratum].append(text)
    split = {}
    for texts in members.values():
        split.update(cut(texts))
    return [split[normalised(text)] for _, text in rows]


def cut(keys: Iterable[str]) -> dict[str, str]:
    """80 % train, 10 % validation and 10 % test of different keys, in the order of their SHA-256."""
    order = sorted(keys, key=digest)
    first, second = len(order) * 8 // 10, len(order) * 9 // 10
    return {key: SPLITS[(index >= first) + (index >= second)] for index, key in enumerate(order)}


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

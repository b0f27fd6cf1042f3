"""Names of data. `experiments/data/sources.py` reads the examples that they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen

from jaxft.bounds import Between, Count
from jaxft.data.example import Learn


@dataclass(frozen=True)
class Source:
    """Examples of one kind: an embedded corpus, a known dataset, or a file."""

    name: str
    split: str = "train"
    limit: Count | None = None  # examples, evenly spaced over the split; None: all of them
    learn: Learn | None = None  # of a dialogue: the last reply, all replies, or all messages of some roles; None: the
    # last reply, and of whole dialogues ("star_dialogues" and the like) all


@dataclass(frozen=True)
class Mix:
    """Other text that is mixed into the training data, at a share of its rows.

    Replay (Robins 1995): sources of the reference text. General-instruction mixing: a dataset of instructions.
    SafeInstruct (Bianchi et al. 2023, arXiv:2309.07875): safety data, of which a few percent were found to suffice.
    """

    sources: Annotated[tuple[Source, ...], MinLen(1), "at least one Source"]
    share: Between  # of all training rows

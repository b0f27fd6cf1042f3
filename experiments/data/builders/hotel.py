"""TFDS builder of hotel dialogues, one example an agent's step: STAR, Schema-Guided Dialogue, MultiWOZ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from experiments.data.builders import schema_guided, star_steps
from experiments.data.builders.prepared import RawBuilder, Rows
from experiments.data.builders.raw import Upstream

_READ = {"star": star_steps.read, "sgd": schema_guided.read_sgd, "multiwoz": schema_guided.read_multiwoz}


class Hotel(RawBuilder):
    """Steps of a hotel's booking agent: its reply, what it knew before, and the replies that it could have chosen.

    No archive is downloaded, as the publishers give no fixed checksum. MultiWOZ is read in the layout of version 2.2
    (that of Schema-Guided Dialogue) and was tested on invented dialogues only; make its archive with `tar czf
    multiwoz_2.2.tar.gz -C multiwoz/data MultiWOZ_2.2`.
    """

    UPSTREAM = {
        "star": Upstream("https://github.com/RasaHQ/STAR", (("star_hotel.tar.gz",),)),
        "sgd": Upstream(
            "https://github.com/google-research-datasets/dstc8-schema-guided-dialogue", (("sgd_hotel.tar.gz",),)
        ),
        "multiwoz": Upstream(
            "https://github.com/budzianowski/multiwoz (data/MultiWOZ_2.2)", (("multiwoz_2.2.tar.gz",),)
        ),
    }

    def features(self) -> dict[str, Any]:
        text = tfds.features.Text
        return {
            "dialogue": text(),
            "turn": np.int32,
            "task": text(),
            "history": tfds.features.Sequence({"role": text(), "text": text()}),
            "known": text(),
            "act": text(),
            "text": text(),
            "alternatives": tfds.features.Sequence(text()),
        }

    def read(self, kind: str, paths: tuple[Path, ...]) -> tuple[Rows, dict[str, int]]:
        steps, counts = _READ[kind](paths[0])
        return {split: [step.row() for step in found] for split, found in steps.items()}, counts

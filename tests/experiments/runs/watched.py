"""Trainings that are watched: `python -m tests.experiments.runs.watched FOLDER` dies by SIGKILL while it keeps step 6.

Axes are made up of the weights, so that nothing but training takes time: proficiency is the norm of one adapter, which
grows in every step, and knowledge falls by as much. With the budget here the best step is 6.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import Watch
from experiments.runs.watch import Watcher
from tests.jaxft.training.interrupted import die_at_file_event, run
from tests.jaxft.training.small_run import TRAINING

WATCH = Watch(every=2, examples=1, keep="best", budget=0.4)
LAST = replace(WATCH, keep="last")
BASE = {"proficiency": 0.0, "knowledge": 1.0}


def measure(trainable: Any) -> dict[str, float | None]:
    norm = float(jnp.linalg.norm(trainable["q"].b))
    return {"proficiency": norm, "knowledge": 1.0 - norm}


def watcher(folder: Path, settings: Watch = WATCH, look: Any = measure) -> Watcher:
    return Watcher(settings, TRAINING.steps, folder / "watch.jsonl", "lora", BASE, frozenset(), look)


def train(folder: Path, settings: Watch = WATCH, look: Any = measure) -> Any:
    """What a watched training of LoRA leaves."""
    return run("lora", folder, watch=watcher(folder, settings, look))


def assert_same(found: Any, wanted: Any) -> None:
    for leaf, expected in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(leaf, expected)


if __name__ == "__main__":
    die_at_file_event("os.rename", "/kept/6.orbax-checkpoint-tmp")
    train(Path(sys.argv[1]))

"""Steps of a hotel's booking agent, the common form of all hotel dialogues, and their alternatives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

DISTRACTORS = 7


@dataclass(frozen=True)
class Turn:
    """One utterance; `role` is "user" or "agent"."""

    role: str
    text: str


@dataclass(frozen=True)
class Step:
    """One reply of an agent, and what the agent could see before it.

    turn: position in the dialogue. known: JSON of what the agent had noted or looked up, or "". act: the kind of step.
    alternatives: replies to choose among, in random order, `text` one of them; empty if there is no choice.
    """

    dialogue: str
    turn: int
    task: str
    history: tuple[Turn, ...]
    known: str
    act: str
    text: str
    alternatives: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """The step in the form that TFDS stores."""
        history = [{"role": turn.role, "text": turn.text} for turn in self.history]
        return {**self.__dict__, "history": history, "alternatives": list(self.alternatives)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Step:
        history = row["history"]
        turns = tuple(Turn(role, text) for role, text in zip(history["role"], history["text"], strict=True))
        return cls(**{**row, "history": turns, "alternatives": tuple(row["alternatives"])})


def shuffled(texts: Sequence[str], key: str) -> tuple[str, ...]:
    """The texts in an order that depends on the key alone, so that the position does not show which is right."""
    order = list(texts)
    random.Random(key).shuffle(order)
    return tuple(order)


def with_distractors(steps: Sequence[Step], unlabelled: str = "") -> list[Step]:
    """The steps with alternatives: the right reply and 7 of other acts, from other dialogues of the same steps.

    There are fewer than 7 if the steps hold fewer. The choice depends on the steps alone. Steps whose act is
    `unlabelled` get no alternatives and are not used as alternatives.
    """
    pool = [step for step in steps if step.act != unlabelled]
    random.Random(0).shuffle(pool)
    return [step if step.act == unlabelled else _with_distractors(step, pool) for step in steps]


def _with_distractors(step: Step, pool: Sequence[Step]) -> Step:
    key = f"{step.dialogue}/{step.turn}"
    start = random.Random(key).randrange(len(pool))
    texts = {step.text: None}
    for offset in range(len(pool)):
        other = pool[(start + offset) % len(pool)]
        if other.act != step.act and other.dialogue != step.dialogue:
            texts[other.text] = None
            if len(texts) > DISTRACTORS:
                break
    return replace(step, alternatives=shuffled(list(texts), key) if len(texts) > 1 else ())

"""Agent steps of hotel dialogues in the layout of Schema-Guided Dialogue, which MultiWOZ 2.2 shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.data.builders.raw import members
from experiments.data.builders.splits import digest
from experiments.data.builders.steps import Step, Turn, with_distractors
from jaxft.errors import UserError
from jaxft.io import parse_json

UNLABELLED = "unlabelled"
_RESULTS = 3  # results of a look-up that are kept; the number of all is given too
_FILES = r"(?:.*/)?((?:{})/dialogues_\d+)\.json"

Dialogues = dict[str, list[dict[str, Any]]]  # by split
Acts = Callable[[Mapping[str, Any], int], str]  # (dialogue, turn) -> the act of an agent's turn


def read_sgd(path: Path) -> tuple[dict[str, list[Step]], dict[str, int]]:
    """The steps of every split, and the numbers of hotel-only dialogues in the published train and dev sets.

    The published train set is train. The dev set is halved by dialogue (in the order of the identifiers' SHA-256) into
    validation and test. The published test set is not read. The act of a turn is the set of its acts, without slots and
    values.
    """
    parts = hotel_dialogues(path)
    dev = len(parts["validation"]) + len(parts["test"])
    counts = {"train dialogues": len(parts["train"]), "dev dialogues": dev}
    return {split: _steps(dialogues, _frame_acts, path) for split, dialogues in parts.items()}, counts


def hotel_dialogues(path: Path) -> Dialogues:
    """The hotel dialogues of Schema-Guided Dialogue as published, by split as in `read_sgd`."""
    found = _dialogues(path, ("train", "dev"), lambda service: service.startswith("Hotels_"), "sgd/train")
    dev = sorted(found["dev"], key=lambda dialogue: digest(dialogue["dialogue_id"]))
    half = (len(dev) + 1) // 2
    return {"train": found["train"], "validation": dev[:half], "test": dev[half:]}


def read_multiwoz(path: Path) -> tuple[dict[str, list[Step]], dict[str, int]]:
    """The steps of the published splits (dev is validation), and the numbers of hotel-only dialogues in them.

    The act of a turn is the set of names in `dialog_acts.json`, such as "Booking-Book+Hotel-Inform"; turns without one
    are "unlabelled". MultiWOZ 2.2 holds no results of look-ups.
    """
    found = _dialogues(path, ("train", "dev", "test"), lambda service: service == "hotel", "MultiWOZ_2.2/train")
    named = "MultiWOZ_2.2/dialog_acts.json"
    (labels,) = members(path, r"(?:.*/)?(dialog_acts)\.json", parse_json, "file of dialogue acts", named).values()

    def acts(dialogue: Mapping[str, Any], turn: int) -> str:
        label = labels.get(dialogue["dialogue_id"], {}).get(str(turn), {}).get("dialog_act", {})
        return "+".join(sorted(label)) or UNLABELLED

    parts = {"train": found["train"], "validation": found["dev"], "test": found["test"]}
    counts = {f"{name} dialogues": len(dialogues) for name, dialogues in found.items()}
    return {split: _steps(dialogues, acts, path) for split, dialogues in parts.items()}, counts


def _frame_acts(dialogue: Mapping[str, Any], turn: int) -> str:
    return "+".join(sorted({action["act"] for action in dialogue["turns"][turn]["frames"][0]["actions"]}))


def _dialogues(path: Path, splits: tuple[str, ...], wanted: Callable[[str], bool], folder: str) -> Dialogues:
    """The dialogues that are only about hotels, by published split."""
    pattern = _FILES.format("|".join(splits))
    files = members(path, pattern, _file, "dialogue files", f"{folder}/dialogues_001.json")
    found: Dialogues = {split: [] for split in splits}
    for name, dialogues in files.items():
        found[name.split("/")[0]] += [one for one in dialogues if all(map(wanted, one["services"])) and one["services"]]
    return found


def _file(content: bytes, where: str) -> list[dict[str, Any]]:
    dialogues = parse_json(content, where)
    fits = isinstance(dialogues, list) and all(
        isinstance(one, dict) and {"dialogue_id", "services", "turns"} <= one.keys() for one in dialogues
    )
    if not fits:
        raise UserError(f"{where} is no list of dialogues with dialogue_id, services and turns.")
    return dialogues


def _steps(dialogues: list[dict[str, Any]], acts: Acts, path: Path) -> list[Step]:
    steps = []
    for dialogue in dialogues:
        try:
            steps += _dialogue_steps(dialogue, acts)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise UserError(
                f"{path}: dialogue {dialogue['dialogue_id']!r} has not the layout of Schema-Guided Dialogue "
                f"({type(error).__name__}: {error})."
            ) from error
    return with_distractors(steps, UNLABELLED)


def _dialogue_steps(dialogue: Mapping[str, Any], acts: Acts) -> list[Step]:
    steps, history, known = [], [], {}
    number, task = dialogue["dialogue_id"], dialogue["services"][0]
    for index, turn in enumerate(dialogue["turns"]):
        said = " ".join(turn["utterance"].split())
        if turn["speaker"] == "USER":
            states = [frame["state"] for frame in turn["frames"] if frame.get("state")]
            values = {slot: heard[0] for state in states for slot, heard in state["slot_values"].items() if heard}
            known |= {"state": values}
            task = next((one["active_intent"] for one in states if one["active_intent"] != "NONE"), task)
        else:
            for frame in turn["frames"]:
                if "service_call" in frame:
                    results = frame["service_results"]
                    known |= {"call": frame["service_call"], "found": len(results), "results": results[:_RESULTS]}
            seen = {name: value for name, value in known.items() if value}
            facts = json.dumps(seen, ensure_ascii=False) if seen else ""
            steps.append(Step(number, index, task, tuple(history), facts, acts(dialogue, index), said))
        history.append(Turn("user" if turn["speaker"] == "USER" else "agent", said))
    return [step for step in steps if step.text]

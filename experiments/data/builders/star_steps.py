"""Agent steps of STAR hotel dialogues: the agent's choice among suggested replies."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.data.builders import star_text
from experiments.data.builders.steps import Step, Turn, shuffled
from jaxft.errors import UserError

#: Fields of a looked-up item that a reply may name.
NAMED = ("HotelName", "Name", "Location", "Cost", "AverageRating", "RoomNumber", "Time")
Pattern = dict[tuple[str, str], str]  # (task, action) -> reply, with {Field} in place of looked-up values


def read(path: Path) -> tuple[dict[str, list[Step]], dict[str, int]]:
    """The steps of every split, and the number of dialogues in the archive.

    A step is a reply that the agent picked or typed; typed ones ("utter", "custom") had no alternatives. Dialogues of
    other domains, or of several, are left out. Splits are by dialogue, those of the source "star". UserError for a
    malformed archive.
    """
    found = {number: dialogue for number, dialogue in star_text.dialogues(path).items() if _hotel_only(dialogue, path)}
    patterns = _patterns(found)
    splits = star_text.split_of(number for number, dialogue in found.items() if star_text.text(dialogue))
    steps: dict[str, list[Step]] = {split: [] for split in star_text.SPLITS}
    for number, split in sorted(splits.items()):
        steps[split] += _steps(number, found[number], patterns)
    return steps, {"dialogues": len(found)}


def _hotel_only(dialogue: Mapping[str, Any], path: Path) -> bool:
    try:
        _task(dialogue)
        return dialogue["Scenario"]["Domains"] == ["hotel"]
    except (KeyError, TypeError, IndexError) as error:
        number = dialogue.get("DialogueID")
        raise UserError(f"{path}: dialogue {number} has no STAR scenario ({type(error).__name__}: {error}).") from error


def _task(dialogue: Mapping[str, Any]) -> str:
    return dialogue["Scenario"]["WizardCapabilities"][0]["Task"]


def _patterns(dialogues: Mapping[int, Mapping[str, Any]]) -> Pattern:
    """The wording of each action, taken from the replies that were picked, by (task, action).

    The published reply templates are not used: they differ for some actions, so an alternative worded by one could be
    recognised. In the real data each (task, action) has one pattern.
    """
    seen: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for dialogue in dialogues.values():
        for event in dialogue["Events"]:
            if event["Action"] == "pick_suggestion":
                reply = event["Text"]
                for name, value in _values(event).items():
                    reply = re.sub(rf"\b{re.escape(value)}\b", f"{{{name}}}", reply)
                seen[_task(dialogue), event["ActionLabel"]][reply] += 1
    return {action: replies.most_common(1)[0][0] for action, replies in seen.items() if action[1] != "custom"}


def _values(event: Mapping[str, Any]) -> dict[str, str]:
    """The values of the looked-up item that the reply may name."""
    item = event.get("PrimaryItem") or {}
    return {name: str(item[name]) for name in NAMED if item.get(name) not in (None, "")}


def _steps(number: int, dialogue: Mapping[str, Any], patterns: Pattern) -> list[Step]:
    steps, history, known = [], [], {}
    for index, event in enumerate(dialogue["Events"]):
        action, agent = event["Action"], event["Agent"]
        if action == "query":
            known = {"query": {name: value for part in event["Constraints"] for name, value in part.items()}}
        elif action == "return_item":
            known = {**known, "result": event.get("Item") or None}
        elif action in star_text.SPOKEN and (said := " ".join(event["Text"].split())):
            if agent == "Wizard":
                key = f"star/{number}/{index}"
                alternatives = shuffled(_alternatives(event, _task(dialogue), patterns, said), key)
                act = event.get("ActionLabel", "utter")
                facts = json.dumps(known, ensure_ascii=False) if known else ""
                task = _task(dialogue)
                steps.append(Step(str(number), index, task, tuple(history), facts, act, said, alternatives))
            history.append(Turn("user" if agent == "User" else "agent", said))
    return steps


def _alternatives(event: Mapping[str, Any], task: str, patterns: Pattern, said: str) -> list[str]:
    """The replies that the agent saw on screen. An action that was never picked has no wording and is left out."""
    texts = {said: None}
    for action in event.get("ActionLabelOptions", ()):
        pattern = patterns.get((task, action))
        if action != event.get("ActionLabel") and pattern:
            values = _values(event)
            fields = re.findall(r"\{(\w+)\}", pattern)
            if all(field in values for field in fields):
                reply = re.sub(r"\{(\w+)\}", lambda match, values=values: values[match[1]], pattern)
                texts[" ".join(reply.split())] = None
    return list(texts) if len(texts) > 1 else []

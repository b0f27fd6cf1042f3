"""Invented dialogues in the layout of STAR."""

from __future__ import annotations


def user(text: str) -> dict:
    return {"Agent": "User", "Action": "utter", "Text": text}


def pick(label: str, text: str, *options: str, item: dict | None = None) -> dict:
    event = {"Agent": "Wizard", "Action": "pick_suggestion", "ActionLabel": label, "Text": text}
    return {**event, "ActionLabelOptions": [label, *options], **({"PrimaryItem": item} if item else {})}


def dialogue(*events: dict, domains: tuple[str, ...] = ("hotel",)) -> dict:
    scenario = {"Domains": list(domains), "WizardCapabilities": [{"Task": "hotel_search"}]}
    return {"DialogueID": 1, "Scenario": scenario, "Events": list(events)}

"""STAR: what the agent picked becomes steps, with the replies it had on screen as alternatives."""

from __future__ import annotations

import json

import pytest

from experiments.data.builders import star_steps, star_text
from experiments.data.builders.steps import Turn
from jaxft.errors import UserError
from tests.experiments.data.builders.star_talk import dialogue, pick, user

ITEM = {"APIName": "hotel_search", "Name": "Blue Inn", "AverageRating": 4, "Message": "ok"}
FOUND = {"Agent": "KnowledgeBase", "Action": "return_item", "Item": ITEM, "TotalItems": 1}
QUERY = {"Agent": "Wizard", "Action": "query", "APIName": "hotel_search", "Constraints": [{"Name": '"Blue Inn"'}]}


TALK = dialogue(
    user("Hello"),
    {"Agent": "UserGuide", "Action": "instruct", "Text": "Ask for the Blue Inn."},
    {"Agent": "Wizard", "Action": "request_suggestions", "Text": "hi"},
    pick("hello", "Hello, how can I help?", "rating"),
    user("How good is\n the Blue Inn?"),
    QUERY,
    FOUND,
    pick("rating", "The 'Blue Inn' has 4 stars.", "hello", "never_picked", item=ITEM),
    {"Agent": "Wizard", "Action": "utter", "Text": "Anything else?"},
    pick("custom", "Say so, please."),
    user(" "),
)
LATER = dialogue(user("Hi"), FOUND, pick("bye", "Goodbye!", "rating", item={**ITEM, "Name": "Red Inn"}))


def read(archive, tmp_path, *dialogues: dict) -> dict:
    members = {f"STAR/dialogues/{number}.json": one for number, one in enumerate(dialogues, 1)}
    return star_steps.read(archive(tmp_path / "star.tar.gz", members))


def test_steps(archive, tmp_path):
    splits, counts = read(archive, tmp_path, TALK, LATER, dialogue(user("A taxi"), domains=("ride",)))
    steps = sorted((step for found in splits.values() for step in found), key=lambda step: (step.dialogue, step.turn))
    hello, rating, typed, custom, bye = steps
    assert counts == {"dialogues": 2}
    assert hello.history == (Turn("user", "Hello"),) and hello.known == "" and hello.task == "hotel_search"
    # "rating" names a hotel, and the agent had looked at none yet
    assert (hello.act, hello.text, hello.alternatives) == ("hello", "Hello, how can I help?", ())
    assert [turn.text for turn in rating.history] == ["Hello", "Hello, how can I help?", "How good is the Blue Inn?"]
    assert json.loads(rating.known) == {"query": {"Name": '"Blue Inn"'}, "result": ITEM}
    assert sorted(rating.alternatives) == ["Hello, how can I help?", "The 'Blue Inn' has 4 stars."]
    assert (typed.act, typed.alternatives) == ("utter", ())
    assert (custom.act, custom.text, custom.alternatives) == ("custom", "Say so, please.", ())
    assert sorted(bye.alternatives) == ["Goodbye!", "The 'Red Inn' has 4 stars."]  # worded as it was picked elsewhere


def test_the_splits_are_those_of_the_plain_dialogues(archive, tmp_path):
    members = {f"STAR/dialogues/{n}.json": dialogue(user(f"{n}"), pick("hello", "Hello")) for n in range(30)}
    path = archive(tmp_path / "star.tar.gz", members)
    for split, steps in star_steps.read(path)[0].items():
        plain = {example.key["dialogue"] for example in star_text.examples(path, split)}
        assert {step.dialogue for step in steps} == plain


@pytest.mark.parametrize("broken", [{"Events": []}, {"Events": [], "Scenario": {"Domains": ["hotel"]}}])
def test_a_dialogue_without_a_scenario_is_refused(archive, tmp_path, broken):
    with pytest.raises(UserError, match=r"star\.tar\.gz: dialogue None has no STAR scenario"):
        read(archive, tmp_path, broken)

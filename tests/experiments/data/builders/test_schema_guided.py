"""Dialogues in the layout of Schema-Guided Dialogue and of MultiWOZ 2.2."""

from __future__ import annotations

import json

import pytest

from experiments.data.builders import schema_guided
from jaxft.errors import UserError
from tests.experiments.data.builders.sgd_talk import agent, dialogue, multiwoz, talk, user


def test_sgd(archive, tmp_path):
    members = {
        "x/train/dialogues_001.json": [talk(0), dialogue(9, user("A bus"), services=("Buses_1",))],
        "x/train/dialogues_002.json": [talk(1), dialogue(8, user("Both"), services=("Hotels_1", "Buses_1"))],
        "x/train/schema.json": b"not read",
        "x/dev/dialogues_001.json": [talk(number) for number in "abc"],
        "x/test/dialogues_001.json": [talk("unread")],
    }
    splits, counts = schema_guided.read_sgd(archive(tmp_path / "sgd.tar.gz", members))
    assert counts == {"train dialogues": 2, "dev dialogues": 3}
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [4, 4, 2]
    halves = [{step.dialogue for step in splits[split]} for split in ("validation", "test")]
    assert halves[0] | halves[1] == set("abc") and not halves[0] & halves[1]
    offer, bye = splits["train"][:2]
    assert (offer.dialogue, offer.turn, offer.task, offer.act) == ("0", 1, "SearchHotel", "INFORM_COUNT+OFFER")
    known = {"state": {"city": "Ghent"}, "call": {"method": "SearchHotel", "parameters": {}}}
    assert json.loads(offer.known) == {**known, "found": 4, "results": [{"name": name} for name in "ABC"]}
    assert sorted(offer.alternatives) == ["Blue Inn 0?", "Bye 1."]
    assert json.loads(bye.known)["found"] == 4  # what was looked up stays known
    assert [(turn.role, turn.text) for turn in bye.history][1:] == [("agent", "Blue Inn 0?"), ("user", "Yes.")]


ACTS = {"p1": {"1": {"dialog_act": {"Hotel-Request": [["stars", "?"]], "Booking-Inform": []}}, "3": {"dialog_act": {}}}}


def test_multiwoz(archive, tmp_path):
    members = {
        "MultiWOZ_2.2/train/dialogues_001.json": [multiwoz("p1"), multiwoz("p2")],
        "MultiWOZ_2.2/dev/dialogues_001.json": [multiwoz("p3"), dialogue("t", services=("hotel", "train"))],
        "MultiWOZ_2.2/test/dialogues_001.json": [multiwoz("p4")],
        "MultiWOZ_2.2/dialog_acts.json": ACTS | {"p2": {"1": {"dialog_act": {"general-bye": []}}}},
    }
    splits, counts = schema_guided.read_multiwoz(archive(tmp_path / "multiwoz.tar.gz", members))
    assert counts == {"train dialogues": 2, "dev dialogues": 1, "test dialogues": 1}
    assert {split: {step.dialogue for step in steps} for split, steps in splits.items()} == {
        "train": {"p1", "p2"},
        "validation": {"p3"},
        "test": {"p4"},
    }
    first, second = splits["train"][:2]
    assert (first.act, first.task, json.loads(first.known)) == (
        "Booking-Inform+Hotel-Request",
        "find_hotel",
        {"state": {"area": "east"}},
    )
    assert (second.act, second.alternatives) == ("unlabelled", ())
    assert "Hm." not in first.alternatives  # unlabelled turns might be right


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"train/dialogues_001\.json is not JSON"),
        ({}, "is no list of dialogues with dialogue_id, services and turns"),
        ([{"dialogue_id": "1"}], "is no list of dialogues with dialogue_id, services and turns"),
        ([dialogue(1, {"speaker": "USER"})], r"dialogue '1' has not the layout of Schema-Guided Dialogue \(KeyError"),
        ([dialogue(1, {**agent("x", "BYE"), "frames": []})], r"dialogue '1' has not the layout .*IndexError"),
    ],
)
def test_malformed_files_are_named(archive, tmp_path, content, message):
    path = archive(tmp_path / "sgd.tar.gz", {"sgd/train/dialogues_001.json": content})
    with pytest.raises(UserError, match=message) as caught:
        schema_guided.read_sgd(path)
    assert str(path) in str(caught.value)


def test_a_wrong_archive_is_refused(archive, tmp_path):
    path = archive(tmp_path / "sgd.tar.gz", {"sgd/test/dialogues_001.json": []})
    with pytest.raises(UserError, match=r"holds no dialogue files; expected members named like sgd/train/dialogues"):
        schema_guided.read_sgd(path)
    path = archive(tmp_path / "multiwoz.tar.gz", {"MultiWOZ_2.2/train/dialogues_001.json": []})
    with pytest.raises(UserError, match=r"named like MultiWOZ_2\.2/dialog_acts\.json"):
        schema_guided.read_multiwoz(path)

"""Schema-Guided Dialogue: the archive becomes plain dialogues about hotels."""

from __future__ import annotations

import json

import pytest

from experiments.data.builders import sgd_text
from jaxft.errors import UserError
from tests.experiments.data.builders.sgd_talk import dialogue, talk
from tests.experiments.data.builders.test_star_text import archive


def members(*dialogues: dict) -> dict[str, bytes]:
    return {f"sgd/{part}/dialogues_001.json": json.dumps(dialogues).encode() for part in ("train", "dev")}


def test_a_dialogue_is_what_the_customer_sees(tmp_path) -> None:
    other = dialogue("bus", services=("Hotels_1", "Buses_1"))
    path = archive(tmp_path / "sgd.tar.gz", members(talk(1), talk(2), talk(3), other))
    found = {split: sgd_text.examples(path, split) for split in sgd_text.SPLITS}
    assert [len(found[split]) for split in sgd_text.SPLITS] == [3, 2, 1]
    one = found["train"][0]
    assert one.messages == () and one.key == {"dialogue": "1"}
    assert one.response == "Customer: A room in Ghent.\nAgent: Blue Inn 1?\nCustomer: Yes.\nAgent: Bye 1."
    halves = [{example.key["dialogue"] for example in found[split]} for split in ("validation", "test")]
    assert not halves[0] & halves[1] and halves[0] | halves[1] == {"1", "2", "3"}


def test_what_is_wrong_is_named(tmp_path) -> None:
    broken = dialogue(7, {"speaker": "DOG", "utterance": "Woof."})
    path = archive(tmp_path / "sgd.tar.gz", members(broken))
    with pytest.raises(UserError, match="dialogue '7' has not the layout of Schema-Guided Dialogue"):
        sgd_text.examples(path, "train")
    with pytest.raises(UserError, match="no split 'dev'"):
        sgd_text.examples(path, "dev")


def test_the_real_archive(test_data) -> None:
    found = {split: sgd_text.examples(test_data / "sgd_hotel.tar.gz", split) for split in sgd_text.SPLITS}
    assert [len(found[split]) for split in sgd_text.SPLITS] == [457, 28, 28]
    for example in sum(found.values(), []):
        assert all(line.startswith(("Customer: ", "Agent: ")) for line in example.response.split("\n"))

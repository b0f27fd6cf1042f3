"""STAR: the archive becomes plain dialogues, split for good."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from experiments.data.builders import star_text
from jaxft.errors import UserError


def archive(path, members: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def dialogue(*events) -> bytes:
    return json.dumps(
        {"Events": [dict(zip(("Agent", "Action", "Text"), event, strict=False)) for event in events]}
    ).encode()


def test_a_dialogue_is_what_the_customer_sees(tmp_path):
    talk = dialogue(
        ("UserGuide", "instruct", "Ask for a room."),
        ("User", "utter", " A room,\n please. "),
        ("Wizard", "query"),
        ("Wizard", "request_suggestions", "name"),
        ("Wizard", "pick_suggestion", "May I have your name?"),
        ("Wizard", "utter", "Hello?"),
        ("User", "complete"),
    )
    members = {"STAR/dialogues/7.json": talk, "STAR/dialogues/8.json": dialogue(), "STAR/tasks/x.json": b"not JSON"}
    path = archive(tmp_path / "star.tar.gz", members)
    (one,) = [example for split in star_text.SPLITS for example in star_text.examples(path, split)]
    assert one.messages == () and one.key == {"dialogue": "7"}
    assert one.response == "Customer: A room, please.\nAgent: May I have your name?\nAgent: Hello?"


def test_splits_are_disjoint_complete_and_fixed(tmp_path):
    members = {f"STAR/dialogues/{n}.json": dialogue(("User", "utter", f"number {n}")) for n in range(40)}
    path = archive(tmp_path / "star.tar.gz", members)
    other = archive(tmp_path / "reversed.tar.gz", dict(reversed(members.items())))
    found = {split: [one.key["dialogue"] for one in star_text.examples(path, split)] for split in star_text.SPLITS}
    assert [len(found[split]) for split in star_text.SPLITS] == [32, 4, 4]
    assert sorted(int(n) for numbers in found.values() for n in numbers) == list(range(40))
    assert all(star_text.examples(other, split) == star_text.examples(path, split) for split in star_text.SPLITS)


def test_bad_archives_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        star_text.examples(tmp_path / "none.tar.gz", "train")
    (tmp_path / "text.tar.gz").write_text("no archive")
    with pytest.raises(UserError, match="cannot be read as a tar"):
        star_text.examples(tmp_path / "text.tar.gz", "train")
    whole = archive(
        tmp_path / "whole.tar.gz", {"STAR/dialogues/1.json": dialogue(("User", "utter", "x" * 999))}
    ).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as a tar"):
        star_text.examples(tmp_path / "cut.tar.gz", "train")
    with pytest.raises(UserError, match="holds no dialogues"):
        star_text.examples(archive(tmp_path / "empty.tar.gz", {"a.json": b"{}"}), "train")
    with pytest.raises(UserError, match="no split 'dev'"):
        star_text.examples(tmp_path / "whole.tar.gz", "dev")


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"[]", b"{}", b'{"Events": [{"Action": "utter", "Agent": "User"}]}', b'{"Events": [3]}']
)
def test_a_malformed_member_is_named(tmp_path, content):
    path = archive(tmp_path / "star.tar.gz", {"STAR/dialogues/3.json": content})
    with pytest.raises(UserError, match=r"STAR/dialogues/3\.json"):
        star_text.examples(path, "train")


def test_the_real_archive(test_data):
    found = {split: star_text.examples(test_data / "star_hotel.tar.gz", split) for split in star_text.SPLITS}
    assert [len(found[split]) for split in star_text.SPLITS] == [373, 47, 47]
    for example in sum(found.values(), []):
        assert all(line.startswith(("Customer: ", "Agent: ")) for line in example.response.split("\n"))

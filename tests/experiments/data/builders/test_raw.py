"""Raw files: found, told apart by content, and refused by file and line where they are malformed."""

from __future__ import annotations

import json

import pytest

from experiments.data.builders import raw
from jaxft.errors import UserError

KNOWN = raw.Upstream("https://example.org/data", (("whole.jsonl",), ("a.jsonl", "b.jsonl")), "https://example.org/x")
BY_HAND = raw.Upstream("https://example.org/data", (("whole.jsonl",), ("a.jsonl", "b.jsonl")))


def test_the_best_complete_set_of_files_is_taken(folders):
    folder, _ = folders
    assert raw.find("x", KNOWN) == ()
    (folder / "a.jsonl").touch()
    assert raw.find("x", KNOWN) == ()
    (folder / "b.jsonl").touch()
    assert raw.find("x", KNOWN) == (folder / "a.jsonl", folder / "b.jsonl")
    (folder / "whole.jsonl").touch()
    assert raw.find("x", BY_HAND) == (folder / "whole.jsonl",)


def test_without_a_checksum_a_missing_file_is_asked_for(folders, monkeypatch):
    folder, prepared = folders
    with pytest.raises(UserError) as caught:
        raw.find("wanted", BY_HAND)
    assert f"'wanted' needs whole.jsonl or a.jsonl with b.jsonl in {folder}: no such file" in str(caught.value)
    assert "Get it from https://example.org/data" in str(caught.value)
    monkeypatch.delenv("JAXFT_TEST_DATA")
    with pytest.raises(UserError, match=r"downloads/manual \(JAXFT_TEST_DATA is not set\)"):
        raw.find("wanted", BY_HAND)
    assert raw.manual_folder() == prepared / "downloads" / "manual"


def test_the_identity_sees_names_contents_and_their_ends(tmp_path):
    def identity(**contents: str) -> str:
        paths = [tmp_path / name for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_text(content)
        return raw.identity(paths)

    variants = [{"a": "x"}, {"b": "x"}, {"a": "y"}, {"a": "x", "b": ""}, {"a": "", "b": "x"}, {"b": "x", "a": ""}]
    assert len({identity(**variant) for variant in variants}) == len(variants)
    assert identity(a="x") == identity(a="x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n\n{"a":\n', "line 3 is not JSON"),
        (b'{"a": 1}\n[1]\n', "line 2 is a JSON list; expected an object"),
        (b'{"a": 1}\n{"a": "\xff"}\n', r"cannot be read as UTF-8 text: .*\(line 2\)"),
        (b"\n", "holds no rows"),
        (b"\x1f\x8b broken", "cannot be read"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        raw.lines(tmp_path / "x.jsonl")
    assert str(tmp_path / "x.jsonl") in str(caught.value)


def test_lines_are_read_plain_and_gzipped(tmp_path, rows):
    (tmp_path / "x.jsonl").write_text(json.dumps({"a": "é"}))
    zipped = rows(tmp_path / "x.jsonl.gz", [{"a": "é"}])
    assert [record for _, record in raw.lines(tmp_path / "x.jsonl")] == [{"a": "é"}]
    assert raw.lines(zipped) == [(f"{zipped}, line 1", {"a": "é"})]


def test_columns_and_texts_are_checked():
    raw.columns({"a": 1, "b": 2}, "here", ["a"], ["b"])
    with pytest.raises(UserError, match="here lacks the column 'a'; expected a; may have b"):
        raw.columns({"b": 2}, "here", ["a"], ["b"])
    with pytest.raises(UserError, match="here has the unknown column 'c'; expected a, b"):
        raw.columns({"a": 1, "b": 2, "c": 3}, "here", ["a", "b"])
    assert raw.text({"a": " x\n"}, "a", "here") == "x"
    for value in (" ", None, 3):
        with pytest.raises(UserError, match="here: 'a' is"):
            raw.text({"a": value}, "a", "here")

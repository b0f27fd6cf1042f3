"""Sources by name, and the fingerprint of what was read."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from experiments.data import sources
from jaxft.data.example import Example, Message
from jaxft.data.source import Source
from jaxft.errors import UserError


@pytest.mark.parametrize("source", sources.CORPORA)
@pytest.mark.parametrize("split", sources.CORPUS_SPLITS)
def test_the_embedded_corpora(source, split):
    found = sources.load(source, split)
    assert len(found) >= 100
    few = sources.load(source, split, 4)
    assert few == [found[index * len(found) // 4] for index in range(4)]  # spaced over the whole split
    assert sources.load(source, split, len(found) + 1) == found


def test_a_file_is_one_split(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\n')
    assert [one.response for one in sources.load(str(path), "test")] == ["a", "b"]
    assert [one.response for one in sources.load(str(path), "train", 1)] == ["a"]


@pytest.mark.parametrize("name", ["mine.json", "mine.csv", "mine.json.gz"])
def test_files_of_every_kind_are_sources(tmp_path, monkeypatch, name):
    content = b"text\na\n" if ".csv" in name else b'[{"text": "a"}]'
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    monkeypatch.setenv("MINE", str(tmp_path))
    (found,) = sources.load(f"$MINE/{name}", "train")
    assert found == Example((), "a") and found.where.startswith(str(tmp_path / name))


def test_a_source_says_what_is_learnt():
    plain, every, some = (
        Source("hotel", limit=2),
        Source("hotel", limit=2, learn="all"),
        Source("hotel", learn=("tool",)),
    )
    assert [one.learn for one in sources.load_examples([plain, every])] == ["last", "last", "all", "all"]
    names = [sources.source_name(source) for source in (plain, every, some)]
    assert names == ["hotel/train[:2]", "hotel/train[:2], learn all", "hotel/train, learn tool"]
    hashes = sources.data_hashes([plain, every])
    assert len({one["sha256"] for one in hashes.values()}) == 2


def test_the_splits_of_a_source():
    assert sources.splits("hotel") == sources.splits("dolly") == ("train", "validation", "test")
    assert sources.splits("tinystories") == ("reference", "test")
    assert sources.splits("mine.jsonl") == sources.splits("mine.parquet") == ("all",)


def test_files_in_the_data_folder(test_data, monkeypatch):
    monkeypatch.setenv(sources.DATA_FOLDER, str(test_data))
    assert len(sources.load("star", "test")) == 47
    assert len(sources.load("tinystories", "test", 5)) == 5


def test_mistakes_are_user_errors(monkeypatch, tmp_path):
    monkeypatch.delenv(sources.DATA_FOLDER, raising=False)
    with pytest.raises(UserError, match="JAXFT_TEST_DATA is not set"):
        sources.load("star", "train")
    monkeypatch.setenv(sources.DATA_FOLDER, str(tmp_path))
    with pytest.raises(UserError, match=r"tinystories_1000\.jsonl\.gz does not exist"):
        sources.load("tinystories", "test")
    with pytest.raises(UserError, match="Did you mean 'knowledge'"):
        sources.load("knowlege", "train")
    with pytest.raises(UserError, match="Unknown data source 'zzz'"):
        sources.load("zzz", "train")
    with pytest.raises(UserError, match="has no split 'dev'"):
        sources.load("hotel", "dev")
    with pytest.raises(UserError, match="limit of hotel is 0"):
        sources.load("hotel", "train", 0)


#: What dialogues may hold in addition to text.
NEW = {
    "tools": ({"name": "search"},),
    "learn": "all",
    "response_extra": {"reasoning_content": "Because."},
    "response_learn": False,
}


def test_the_fingerprint_sees_every_part_and_the_order():
    one = Example((Message("user", "a"),), "b", {"k": "v", "l": "w"})
    variants = [
        [one],
        [one, one],
        [Example((Message("system", "a"),), "b", one.key)],
        [Example((Message("user", "x"),), "b", one.key)],
        [Example((Message("user", "a"), Message("user", "a")), "b", one.key)],
        *([replace(one, **{name: value})] for name, value in NEW.items()),
        [replace(one, messages=(Message("user", "a", {"name": "n"}),))],
        [replace(one, messages=(Message("user", "a", learn=True),))],
        [Example((), "b", one.key)],
        [Example(one.messages, "x", one.key)],
        [Example(one.messages, "b", {"k": "v"})],
        [Example((), "b", one.key, control=True)],
        [Example((), "a"), Example((), "b")],
        [Example((), "b"), Example((), "a")],
        [],
    ]
    assert len({sources.fingerprint(variant) for variant in variants}) == len(variants)
    assert sources.fingerprint([one]) == sources.fingerprint([Example(one.messages, "b", {"l": "w", "k": "v"})])


def test_the_fingerprint_ignores_the_place_in_a_file():
    one = Example((Message("user", "a"),), "b")
    assert replace(one, where="a.jsonl, line 1") == one
    assert sources.fingerprint([replace(one, where="a.jsonl, line 1")]) == sources.fingerprint([one])


def test_the_fingerprint_is_fixed():
    """Records of earlier runs name it, so it may not change: SHA-256 of canonical JSON lines."""
    line = {"key": {"n": "1"}, "messages": [["user", "é"]], "response": "\ud800"}
    text = json.dumps(line, separators=(",", ":")) + "\n"
    assert text == '{"key":{"n":"1"},"messages":[["user","\\u00e9"]],"response":"\\ud800"}\n'
    found = sources.fingerprint([Example((Message("user", "é"),), "\ud800", {"n": "1"})])
    assert found == "77e85cbfe5ca76b158668a9634655659455d61e793ae2bf731d9bcd0f6dbd8cf"

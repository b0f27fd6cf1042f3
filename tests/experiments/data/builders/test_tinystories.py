"""TinyStories: two splits that never meet, texts unchanged."""

from __future__ import annotations

import json

import pytest

from experiments.data.builders import tinystories
from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError


def write(path, count: int):
    path.write_text("".join(json.dumps({"text": f" story {n}\n"}) + "\n" for n in range(count)))
    return path


def test_splits(tmp_path):
    path = write(tmp_path / "s.jsonl", 610)
    reference, test = (tinystories.examples(path, split) for split in ("reference", "test"))
    assert [one.response for one in reference + test] == [f" story {n}\n" for n in range(610)]
    assert len(reference) == 600
    assert all(one.messages == () for one in reference + test)


def test_unknown_splits_and_short_files_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="has reference and test"):
        tinystories.examples(write(tmp_path / "s.jsonl", 610), "validation")
    with pytest.raises(UserError, match="holds 600 stories"):
        tinystories.examples(write(tmp_path / "s.jsonl", 600), "test")


def test_the_real_stories(test_data):
    path = test_data / "tinystories_1000.jsonl.gz"
    assert [len(tinystories.examples(path, split)) for split in tinystories.SPLITS] == [600, 400]
    tokenizer = load_tokenizer(test_data / "stories260K_hf")
    for story in tinystories.examples(path, "reference")[:40]:
        assert tokenizer.decode(tokenizer.encode(story.response, add_special_tokens=False)) == story.response

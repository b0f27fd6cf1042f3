"""NQ-open: a question and all of its right answers."""

from __future__ import annotations

import json

import pytest

from experiments.data.builders import SPLITS, examples
from jaxft.errors import UserError


def test_questions(folders, rows):
    folder, _ = folders
    rows(folder / "nq_open_dev.jsonl.gz", [{"question": f"who is {n}", "answer": [f"A{n}", "é"]} for n in range(20)])
    found = {split: examples("nq_open", split) for split in SPLITS}
    assert [len(found[split]) for split in SPLITS] == [16, 2, 2]
    one = next(one for some in found.values() for one in some if one.messages[0].content == "who is 7")
    assert one.response == "A7" and one.key["group"] == "nq_open"
    assert json.loads(one.key["answers"]) == ["A7", "é"]


@pytest.mark.parametrize("answer", [[], "one", [1], [""]])
def test_malformed_answers_are_named(folders, rows, answer):
    folder, _ = folders
    rows(folder / "nq_open_dev.jsonl.gz", [{"question": "who", "answer": answer}])
    with pytest.raises(UserError, match="line 1: 'answer' is .* expected a list of strings"):
        examples("nq_open", "test")


def test_too_few_rows_for_every_split(folders, rows):
    folder, prepared = folders
    rows(folder / "nq_open_dev.jsonl.gz", [{"question": "who", "answer": ["I"]}])
    with pytest.raises(UserError, match=r"nq_open_dev\.jsonl\.gz: too few rows; nothing is left for the split 'train'"):
        examples("nq_open", "test")
    assert not prepared.exists()

"""Dolly: partial copies are joined, and only what can be answered alone becomes a question."""

from __future__ import annotations

import json

import pytest

from experiments.data.builders import SPLITS, counts, examples
from jaxft.data.example import Message
from jaxft.errors import UserError


def row(number: object, **more: str) -> dict[str, str]:
    return {"instruction": f"What is {number}?", "response": f"It is {number}.", **more}


def test_partial_copies_are_joined(folders, rows):
    folder, _ = folders
    full = [
        row("one", context="", category="open_qa"),
        row("two", context="Two is one and one.", category="closed_qa"),
        row("three", context="A number.", category="general_qa"),
        row("four", context="", category="brainstorming"),
    ]
    rows(folder / "dolly_rows_0_4999.jsonl.gz", [{"id": 0, **row("ONE")}, *(row(n) for n in range(20))])
    rows(folder / "dolly_full_rows_387.jsonl.gz", full)
    assert counts("dolly") == {
        "rows of dolly_rows_0_4999.jsonl.gz": 21,
        "rows of dolly_full_rows_387.jsonl.gz": 4,
        "distinct rows": 24,
    }
    found = {one.messages[0].content: one for split in SPLITS for one in examples("dolly", split)}
    assert len(found) == 23 and "What is two?" not in found  # it needs its context
    groups = {
        f"What is {name}?": group for name, group in (("one", "open_qa"), ("three", "general_qa"), (7, "unknown"))
    }
    assert {question: found[question].key["group"] for question in groups} == groups
    assert found["What is four?"].messages == (Message("user", "What is four?"),)
    assert found["What is four?"].response == "It is four."
    assert json.loads(found["What is four?"].key["answers"]) == ["It is four."]


def test_the_whole_file_goes_first(folders, rows):
    folder, _ = folders
    whole = [row(n, context="", category="open_qa") for n in range(20)]
    (folder / "databricks-dolly-15k.jsonl").write_text("\n".join(map(json.dumps, whole)))
    rows(folder / "dolly_rows_0_4999.jsonl.gz", [row("unread")])
    rows(folder / "dolly_full_rows_387.jsonl.gz", [row("unread too")])
    assert counts("dolly") == {"rows of databricks-dolly-15k.jsonl": 20, "distinct rows": 20}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"instruction": "x"}, "line 2 lacks the column 'response'"),
        (row(1, answer="x"), "line 2 has the unknown column 'answer'"),
        (row(1, category=""), "line 2: 'category' is ''"),
    ],
)
def test_malformed_rows_are_named(folders, bad, message):
    folder, _ = folders
    path = folder / "databricks-dolly-15k.jsonl"
    path.write_text(f"{json.dumps(row(0))}\n{json.dumps(bad)}\n")
    with pytest.raises(UserError, match=rf"{path}, {message}"):
        examples("dolly", "test")

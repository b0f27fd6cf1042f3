"""Files of every kind hold the same examples, and a file that is damaged is named."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from jaxft.data.example import Example, Message
from jaxft.data.readers import examples
from jaxft.data.readers.files import ENDINGS
from jaxft.errors import UserError

ROWS = [{"prompt": 'Hi, you\n"two"', "response": " é\u2028"}, {"prompt": "p", "response": "r"}]
WANT = [Example((Message("user", row["prompt"]),), row["response"]) for row in ROWS]


def lines(rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\r\n\n" for row in rows).encode()


def array(rows) -> bytes:
    return json.dumps(rows, indent=1).encode()


def table(rows) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def columns(rows) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


KINDS = {
    "a.jsonl": (lines, ["line 1", "line 3"]),
    "a.json": (array, ["item 1", "item 2"]),
    "lines.json": (lines, ["line 1", "line 3"]),
    "a.csv": (table, ["line 2", "line 4"]),
    "a.parquet": (columns, ["row 1", "row 2"]),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_holds_the_same_examples(tmp_path, name):
    path = tmp_path / name
    write, places = KINDS[name]
    path.write_bytes(write(ROWS))
    found = examples(path)
    assert found == WANT
    assert [one.where for one in found] == [f"{path}, {place}" for place in places]
    if name != "a.parquet":
        path.write_bytes(codecs.BOM_UTF8 + write(ROWS))
        assert examples(str(path)) == WANT
        zipped = tmp_path / f"{name}.gz"
        zipped.write_bytes(gzip.compress(write(ROWS)))
        assert examples(zipped) == WANT


def test_dialogues_in_a_table(tmp_path):
    """Parquet gives every row every column, and every message every field: what a row lacks is null."""
    call = {"function": {"name": "find", "arguments": '{"city": "Ghent"}'}}
    plain = {"role": "assistant", "content": "Hello.", "tool_calls": None, "weight": 1}
    calling = {"role": "assistant", "content": None, "tool_calls": [call], "weight": None}
    user = {"role": "user", "content": "Hi", "tool_calls": None, "weight": None}
    tools = [{"name": "find", "in": {"city": "string"}}, {"name": "book", "in": {"day": "string"}}]
    rows = [
        {"messages": [user, calling], "text": None, "tools": tools},
        {"messages": [user, plain], "text": None, "tools": None},
        {"messages": None, "text": "A story.", "tools": None},
    ]
    (tmp_path / "a.parquet").write_bytes(columns(rows))
    (tmp_path / "a.jsonl").write_bytes(lines(rows))
    assert examples(tmp_path / "a.parquet") == examples(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl.gz", b"plain", "a.jsonl.gz cannot be read as gzipped UTF-8"),
        ("a.csv.gz", gzip.compress(b"x" * 99, mtime=0)[:-9], "cannot be read"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}', r"a\.jsonl cannot be read as UTF-8 text: .*\(line 2\)"),
        ("a.json", "[1]".encode("utf-16"), "cannot be read as UTF-8"),
        ("a.jsonl", b"\n\n", "holds no examples; expected"),
        ("a.json", b"[]", "holds no examples"),
        ("a.csv", b"", "holds no examples"),
        ("a.csv", b"prompt,response\n", "holds no examples"),
        ("a.jsonl", b'{"text": "a"}\n\n{"text": "b"', "line 3 is not JSON"),
        ("a.jsonl", b'{"text": "a", "text": "b"}', "line 1 is not JSON: the field 'text' occurs twice"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not JSON"),
        ("a.jsonl", b"9" * 5000, "line 1 is not JSON"),
        ("a.json", b'[{"text": "a"},\n', r"a\.json is not JSON: .* line 2"),
        ("a.json", b'[{"text": "a"}, 3]', "item 2 is a JSON int"),
        ("a.csv", b"text,text\na,b\n", "line 1 names a column twice"),
        ("a.csv", b"prompt,response\na,b\nc\n", "line 3 has 1 cells; expected 2, one for each of prompt, response"),
        ("a.csv", b'text\n"a\nb\n', "line 2 is not CSV"),
        ("a.csv", b"prompt;response\na;b\n", "line 2 has the fields prompt;response"),
        ("a.parquet", b"PAR1 no", "cannot be read as Parquet"),
        ("a.parquet", b"", "cannot be read as Parquet"),
        ("a.parquet.gz", b"", "its name ends in none of"),
        ("a.txt", b"", r"its name ends in none of \.jsonl"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        examples(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("name", [f"a{ending}" for ending in ENDINGS])
def test_a_missing_file_and_a_folder_are_user_errors(tmp_path, name):
    with pytest.raises(UserError, match="does not exist; expected a file of"):
        examples(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        examples(tmp_path / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("any")


@given(name=st.sampled_from([f"a{ending}" for ending in ENDINGS if not ending.endswith(".gz")]), data=st.data())
def test_any_bytes_are_read_or_refused(folder, name, data):
    write, _ = KINDS[name]
    good = write(ROWS)
    at = data.draw(st.integers(0, len(good)))
    content = data.draw(st.binary(max_size=9) | st.sampled_from([b'"', b"\n", b"{", b"\x00", b"\\ud800"]))
    (folder / name).write_bytes(good[:at] + content + good[at + data.draw(st.integers(0, 9)) :])
    try:
        examples(folder / name)
    except UserError as error:
        assert str(folder / name) in str(error)

"""A user's own JSON lines: the three forms, and every way to get them wrong."""

from __future__ import annotations

import gzip

import pytest

from jaxft.data import readers
from jaxft.data.example import Example, Message
from jaxft.errors import UserError

GOOD = (
    '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, '
    '{"role": "assistant", "content": "a"}]}\n'
    '{"prompt": "p", "response": " r\\u2028", "id": 3}\n'
    "\n"
    '{"text": " t\u2028 "}'
)


def test_the_three_forms_plain_and_gzipped(tmp_path):
    (tmp_path / "a.jsonl").write_text(GOOD, encoding="utf-8")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(GOOD.encode()))
    want = [
        Example((Message("system", "s"), Message("user", "u")), "a"),
        Example((Message("user", "p"),), " r\u2028"),
        Example((), " t\u2028 "),
    ]
    assert readers.examples(tmp_path / "a.jsonl") == want
    assert readers.examples(str(tmp_path / "a.jsonl.gz")) == want


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', "is not JSON"),
        ("[1]", "is a JSON list"),
        ('{"txt": "a"}', "has the fields txt"),
        ("{}", r"\(none\)"),
        ('{"prompt": "a"}', "has the fields prompt"),
        ('{"text": "a", "prompt": "b", "response": "c"}', "expected one of"),
        ('{"text": ""}', "\"text\" is ''"),
        ('{"text": 3}', '"text" is 3'),
        ('{"prompt": "a", "response": null}', '"response" is None'),
        ('{"messages": "hi"}', "must be a list"),
        ('{"messages": [{"role": "user"}]}', "must be a list of objects"),
        ('{"messages": []}', "must end with the assistant"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "must end with the assistant"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "must end with the assistant"),
        ('{"messages": [{"role": "human", "content": "a"}, {"role": "assistant", "content": "b"}]}', "role 'human'"),
        ('{"messages": [{"role": "user", "content": ["a"]}, {"role": "assistant", "content": "b"}]}', '"content" is'),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "good"}\n\n' + line + "\n")
    with pytest.raises(UserError, match=r"bad\.jsonl, line 3") as caught:
        readers.examples(path)
    with pytest.raises(UserError, match=message):
        raise caught.value


def test_unreadable_files_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        readers.examples(tmp_path / "none.jsonl")
    for name, content in {
        "a.jsonl.gz": b"plain",
        "b.jsonl": b"\xff\xfe",
        "c.jsonl.gz": gzip.compress(b"x" * 99)[:-9],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} cannot be read"):
            readers.examples(tmp_path / name)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match="holds no examples"):
        readers.examples(tmp_path / "empty.jsonl")

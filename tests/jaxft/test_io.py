"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jaxft.errors import UserError
from jaxft.io import cannot_write, expanded, finished_lines, read_json, whole, write_atomically, write_json


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    for content in (b"first", b"second"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="file.txt: cannot be written .No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "report.html", b"")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "(No space left on device); free some space or choose another folder"),
        (OSError(27, "File too large"), "(File too large); free some space or choose another folder"),
        (OSError(30, "Read-only file system"), "(Read-only file system); choose another folder"),
        (OSError(2, "No such file or directory"), "(HERE takes no new files); choose another folder"),
    ],
)
def test_advice_fits_what_the_disk_refused(tmp_path: Path, error: OSError, message: str) -> None:
    assert str(cannot_write(tmp_path / "a" / "b", error)).endswith(message.replace("HERE", str(tmp_path)))


@pytest.mark.parametrize(
    ("content", "lines", "left"),
    [(b"a\nb\n", [b"a", b"b"], b"a\nb\n"), (b"a\nb", [b"a"], b"a\n"), (b"half", [], b""), (b"", [], b"")],
)
def test_an_unfinished_last_line_is_left_out_and_cut_off(
    tmp_path: Path, content: bytes, lines: list[bytes], left: bytes
) -> None:
    path = tmp_path / "lines.jsonl"
    assert finished_lines(path, mend=True) == []
    path.write_bytes(content)
    assert finished_lines(path) == lines and path.read_bytes() == content
    assert finished_lines(path, mend=True) == lines and path.read_bytes() == left


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with whole(tmp_path / "new" / "folder") as scratch:
        scratch.mkdir()
        (scratch / "file").write_text("x")
        assert not (tmp_path / "new" / "folder").exists()
    (tmp_path / "plain").mkdir()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["folder"]
    assert (tmp_path / "new" / "folder" / "file").read_text() == "x"
    assert (tmp_path / "new" / "folder").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_paths_are_expanded_and_an_unset_variable_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SET", "a")
    monkeypatch.delenv("UNSET", raising=False)
    assert expanded("~/$SET/${SET}.csv") == f"{tmp_path}/a/a.csv"
    for path in ("$UNSET/a.csv", "x/${UNSET}.csv"):
        with pytest.raises(UserError, match="the environment variable UNSET is not set"):
            expanded(path)
    (tmp_path / "$UNSET").touch()
    assert expanded("~/$UNSET") == f"{tmp_path}/$UNSET"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_folder_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException] | OSError) -> None:
    with pytest.raises(UserError if isinstance(error, OSError) else error):
        with whole(tmp_path / "folder") as scratch:
            scratch.mkdir()
            (scratch / "half").write_text("x")
            raise error
    assert not list(tmp_path.iterdir())


def test_json_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": [1.5, None]})
    assert read_json(path) == {"a": [1.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": [1.5, None]}
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_file_is_named(tmp_path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(UserError, match=r"x\.json: not a readable JSON file"):
        read_json(path)
    path.write_text('{"a": 1')
    with pytest.raises(UserError, match=r"x\.json: not a readable JSON file"):
        read_json(path)


def test_where_nothing_can_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_json(tmp_path / "file" / "x.json", {})

"""Preparation by TFDS: tied to the raw content, done once, quiet, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments.data.builders import raw
from experiments.data.builders.prepared import RawBuilder, prepare
from jaxft.errors import UserError

WORDS = ["zero", "one", "zwölf"]


def tiny(upstream: raw.Upstream) -> type[RawBuilder]:
    """A builder of rows {"word", "parts", "score"}; a line is one split."""

    class Tiny(RawBuilder, skip_registration=True):
        """Words."""

        UPSTREAM = {"words": upstream}

        def features(self) -> dict[str, Any]:
            text = tfds.features.Text
            return {"word": text(), "parts": tfds.features.Sequence({"of": text()}), "score": np.float32}

        def read(self, kind: str, paths: tuple[Path, ...]) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
            records = [record for _, record in raw.lines(paths[0])]
            rows = [
                [{"word": word, "parts": [{"of": word[:1]}], "score": 0.5} for word in record["words"]]
                for record in records
            ]
            return dict(zip(("train", "validation", "test"), rows, strict=True)), {"words": len(records[0]["words"])}

    return Tiny


BY_HAND = raw.Upstream("https://example.org", (("words.jsonl",),))


def content(*splits: list[str]) -> str:
    return "".join(json.dumps({"words": words}) + "\n" for words in splits)


def test_rows_come_back_as_they_were_and_the_same_files_are_prepared_once(folders, capfd):
    folder, prepared = folders
    (folder / "words.jsonl").write_text(content(WORDS, ["a"], ["b"]))
    found = prepare("words", tiny(BY_HAND), "words")
    assert found.rows("train") == [{"word": word, "parts": {"of": [word[:1]]}, "score": 0.5} for word in WORDS]
    assert found.counts == {"words": 3}
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    again = prepare("words", tiny(BY_HAND), "words")
    assert again.rows("test")[0]["word"] == "b" and again.counts == {"words": 3}
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*")} == before
    assert capfd.readouterr() == ("", "")
    assert "tensorflow" not in sys.modules


def test_changed_raw_files_are_never_served_stale(folders):
    folder, _ = folders
    (folder / "words.jsonl").write_text(content(WORDS, ["a"], ["b"]))
    prepare("words", tiny(BY_HAND), "words")
    (folder / "words.jsonl").write_text(content(["new"], ["a"], ["b"]))
    assert [row["word"] for row in prepare("words", tiny(BY_HAND), "words").rows("train")] == ["new"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (content(WORDS, ["a"], []), r"words\.jsonl: too few rows; nothing is left for the split 'test'"),
        (content(WORDS, ["a"]) + "{", r"words\.jsonl, line 3 is not JSON"),
    ],
)
def test_a_failed_preparation_leaves_nothing(folders, text, message):
    folder, prepared = folders
    (folder / "words.jsonl").write_text(text)
    with pytest.raises(UserError, match=message):
        prepare("words", tiny(BY_HAND), "words")
    assert not prepared.exists()
    prepared.mkdir()
    with pytest.raises(UserError, match=message):
        prepare("words", tiny(BY_HAND), "words")
    assert list(prepared.iterdir()) == []


def test_another_process_may_be_faster(folders, monkeypatch):
    folder, _ = folders
    (folder / "words.jsonl").write_text(content(WORDS, ["a"], ["b"]))
    slow = tiny(BY_HAND)
    read = slow.read

    def overtaken(self: RawBuilder, *arguments: Any) -> Any:
        prepare("words", tiny(BY_HAND), "words")
        return read(self, *arguments)

    monkeypatch.setattr(slow, "read", overtaken)
    assert len(prepare("words", slow, "words").rows("train")) == 3


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("tiny-train*", lambda path: path.write_bytes(path.read_bytes()[:-100])),
        ("tiny-train*", lambda path: path.write_bytes(b"\0" * path.stat().st_size)),
        ("tiny-train*", Path.unlink),
        ("dataset_info.json", lambda path: path.write_text("{")),
    ],
)
def test_damaged_files_are_named(folders, name, damage):
    folder, prepared = folders
    (folder / "words.jsonl").write_text(content(WORDS, ["a"], ["b"]))
    prepare("words", tiny(BY_HAND), "words")
    (path,) = prepared.glob(f"tiny/*/*/{name}")
    damage(path)
    with pytest.raises(UserError, match=rf"{prepared}/tiny/words-.* is damaged .*\nDelete this folder"):
        prepare("words", tiny(BY_HAND), "words").rows("train")


@contextmanager
def server(answer: bytes) -> Iterator[str]:
    """The address of a server on this machine that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name is that of the protocol
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/words.jsonl"
        finally:
            running.shutdown()
            thread.join()


def at(url: str, answer: bytes) -> raw.Upstream:
    digest = hashlib.sha256(answer).hexdigest()
    return raw.Upstream("https://example.org", (("words.jsonl",),), url, digest, len(answer))


def test_a_missing_file_with_a_checksum_is_downloaded(folders, capfd):
    answer = content(WORDS, ["a"], ["b"]).encode()
    with server(answer) as url:
        builder = tiny(at(url, answer))
        assert len(prepare("words", builder, "words").rows("train")) == 3
    assert len(prepare("words", builder, "words").rows("train")) == 3  # the server is gone
    assert capfd.readouterr() == ("", "")


def test_another_content_than_published_is_refused(folders):
    folder, prepared = folders
    answer = content(WORDS, ["a"], ["b"]).encode()
    with server(answer.replace(b"zero", b"null")) as url, pytest.raises(UserError) as caught:
        prepare("words", tiny(at(url, answer)), "words")
    assert f"'words' cannot be downloaded from {url}: NonMatchingChecksumError" in str(caught.value)
    assert f"Get words.jsonl from https://example.org and put it into {folder}." in str(caught.value)
    assert not (prepared / "tiny").exists()


def test_a_server_that_is_not_there(folders):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/words.jsonl"
        with pytest.raises(UserError, match=r"cannot be downloaded from .*: URLError: .*refused"):
            prepare("words", tiny(at(url, b"")), "words")


def test_nothing_of_tfds_is_imported_before_a_dataset_is_asked_for():
    code = "import sys, experiments.data.sources; sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[4]).returncode == 0

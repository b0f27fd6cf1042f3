"""Folders for raw and prepared data, and invented raw files in the layouts of upstream."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.jaxft.data.conftest import small_tokenizer  # noqa: F401 - a fixture


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """(raw files, prepared datasets), empty, as the environment names them."""
    raw, prepared = tmp_path / "raw", tmp_path / "prepared"
    raw.mkdir()
    monkeypatch.setenv("JAXFT_TEST_DATA", str(raw))
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    return raw, prepared


@pytest.fixture(scope="module")
def prepared(test_data, tmp_path_factory) -> Iterator[None]:
    """The real files, prepared once for all tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXFT_TEST_DATA", str(test_data))
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


@pytest.fixture
def archive() -> Callable[[Path, Mapping[str, Any]], Path]:
    """Writes a tar archive; what is no bytes is written as JSON."""

    def write(path: Path, members: Mapping[str, Any]) -> Path:
        with tarfile.open(path, "w:gz") as tar:
            for name, value in members.items():
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def rows() -> Callable[[Path, Iterable[Any]], Path]:
    """Writes JSON lines, gzipped."""

    def write(path: Path, records: Iterable[Any]) -> Path:
        path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
        return path

    return write

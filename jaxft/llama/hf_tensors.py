"""The tensors of a Hugging Face Llama folder: their map to the parameters of a Llama, and a checked reader."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open

from jaxft.errors import UserError
from jaxft.llama.config import LINEARS, NORMS, LlamaConfig
from jaxft.llama.hf_json import read_json

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FloatDtype = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[str, FloatDtype] = {
    "F32": "float32",
    "BF16": "bfloat16",
    "F16": "float16",
}  # safetensors name -> numpy name
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# Frequencies that old releases of transformers stored; they follow from the config.
_DERIVED = re.compile(r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq")
# Last part of the names of tensors that only quantised weights have.
_QUANTISED = {
    **dict.fromkeys(("qweight", "qzeros", "g_idx"), "GPTQ or AWQ"),
    **dict.fromkeys(("absmax", "SCB"), "bitsandbytes"),
    **dict.fromkeys(("weight_scale", "weight_scale_inv"), "FP8 or compressed-tensors"),
    "weight_packed": "compressed-tensors",
}
_HINT = "Check that the download is complete and that config.json belongs to these weights."


@dataclass(frozen=True)
class Parameter:
    """One parameter of a Llama and the tensors that make it up.

    owner, name: "layers" or "" (the Llama itself), and the attribute there.
    tensors: one name, or one per layer to be stacked. shape: of the parameter's part of each tensor in the file.
    transposed: True if the file has [out, in] and the Llama [in, out].
    first: the part's first row. rows: of the tensor, if it holds other parameters too.
    """

    owner: str
    name: str
    tensors: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool
    first: int = 0
    rows: int | None = None

    @property
    def whole(self) -> tuple[int, ...]:
        """Shape of each tensor in the file."""
        return self.shape if self.rows is None else (self.rows, *self.shape[1:])

    def holder(self, model: Any) -> Any:
        """The part of a Llama that has this parameter as an attribute."""
        return getattr(model, self.owner) if self.owner else model


def parameters(config: LlamaConfig) -> list[Parameter]:
    """The one-to-one map between the parameters of a Llama and the tensors of its folder."""
    d, size = config.hidden_size, (config.vocab_size, config.hidden_size)
    found = [Parameter("", "embed", ("model.embed_tokens.weight",), size, False)]

    def add(name: str, tensor: str, shape: tuple[int, ...], first: int = 0, rows: int | None = None) -> None:
        tensors = tuple(f"model.layers.{layer}.{tensor}" for layer in range(config.num_layers))
        found.append(Parameter("layers", name, tensors, shape, len(shape) == 2, first, rows))

    modules = {**NORMS[config.norms], "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm"}
    for name, width in config.vectors.items():
        linear = LINEARS.get(name.removesuffix("_bias"))
        add(name, f"{linear.module}.bias" if linear else f"{modules[name]}.weight", (width,))
    shapes = {name: shape[::-1] for name, shape in config.linear_shapes.items()}
    for module, names in config.modules.items():
        first, rows = 0, sum(shapes[name][0] for name in names)
        for name in names:
            add(name, f"{module}.weight", shapes[name], first, rows)
            first += shapes[name][0]
    found.append(Parameter("", "norm", ("model.norm.weight",), (d,), False))
    if not config.tied_head:
        found.append(Parameter("", "head", ("lm_head.weight",), size, True))
    return found


@dataclass(frozen=True)
class _Stored:
    """A tensor's file, and its shape and dtype in the header of that file."""

    file: Path
    shape: tuple[int, ...]
    tag: str


class Tensors:
    """The checked tensors of a folder, read one at a time.

    The folder holds every tensor of the config exactly once, with its shape and a float dtype, and no other tensor
    except stored rotary frequencies (ignored) and, in a tied model, an `lm_head.weight` equal to the embeddings.
    """

    def __init__(self, folder: str | Path, config: LlamaConfig) -> None:
        self._folder = Path(folder)
        self._stored: dict[str, _Stored] = {}
        self._collect()
        self._check(config)

    def dtype(self, name: str) -> str:
        """The dtype of a tensor in its file, as numpy spells it."""
        return DTYPES[self._stored[name].tag]

    def read(self, name: str, part: tuple[slice, ...] = ()) -> np.ndarray:
        """A tensor's values as stored. part: one slice (step 1) per axis, to read only that part."""
        # Opened for each read: touched pages of the memory map count as this process's memory until it is closed.
        with safe_open(self._stored[name].file, "np") as file:
            return file.get_slice(name)[part] if part else file.get_tensor(name)

    def _collect(self) -> None:
        """Note which weight file holds which tensor."""
        single, index = self._folder / WEIGHTS, self._folder / INDEX
        if single.exists():
            self._add(single)
        elif index.exists():
            self._add_shards(index)
        else:
            raise UserError(_no_weights(self._folder))

    def _add(self, path: Path) -> None:
        try:
            with safe_open(path, "np") as file:
                for name in file.keys():
                    if name in self._stored:
                        raise UserError(f"{path}: tensor {name} is also in another shard of this folder.")
                    entry = file.get_slice(name)
                    self._stored[name] = _Stored(path, tuple(entry.get_shape()), entry.get_dtype())
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{path}: not a complete safetensors file ({error}).\n"
                "It may be cut short or a Git LFS pointer; download it again."
            ) from None

    def _add_shards(self, index: Path) -> None:
        shard_of = read_json(index).get("weight_map")
        if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
            raise UserError(f"{index}: weight_map is no object of tensor name -> file name.")
        for shard in sorted(set(shard_of.values())):
            path = index.parent / shard
            if Path(shard).name != shard or not path.is_file():
                raise UserError(f"{index}: names the file {shard}, which is not in the folder. Download it again.")
            before = set(self._stored)
            self._add(path)
            held = set(self._stored) - before
            listed = {name for name, file in shard_of.items() if file == shard}
            for name in sorted(held ^ listed):
                if not _DERIVED.fullmatch(name):
                    where = "is in the file but not in" if name in held else "is not in the file but in"
                    raise UserError(f"{path}: tensor {name} {where} the list for it in {INDEX}.")

    def _check(self, config: LlamaConfig) -> None:
        for name in self._stored:
            if kind := _QUANTISED.get(name.rsplit(".", 1)[-1]):
                raise UserError(
                    f"{self._folder}: the weights are quantised ({kind}: tensor {name}).\n"
                    "Give the model that they were made from, or a GGUF file."
                )
        expected = {name: parameter.whole for parameter in parameters(config) for name in parameter.tensors}
        missing = [name for name in expected if name not in self._stored]
        if missing:
            count = f"{len(missing)} of {len(expected)} are"
            raise UserError(f"{self._folder}: tensor {missing[0]} is missing ({count}).\n{_HINT}")
        head, embed = "lm_head.weight", "model.embed_tokens.weight"
        for name, stored in self._stored.items():
            if _DERIVED.fullmatch(name):
                continue
            tied_copy = config.tied_head and name == head
            if name not in expected and not tied_copy:
                raise UserError(f"{self._folder}: tensor {name} is unknown to a model of this config.json.\n{_HINT}")
            wanted = expected[embed if tied_copy else name]
            if stored.shape != wanted:
                message = f"{self._folder}: tensor {name} has shape {stored.shape}, config.json asks for {wanted}."
                raise UserError(f"{message}\n{_HINT}")
            if stored.tag not in DTYPES:
                raise UserError(
                    f"{self._folder}: tensor {name} has dtype {stored.tag}, expected {', '.join(DTYPES)}.\n"
                    "Quantised or float64 weights are not read; export them in one of these."
                )
        if config.tied_head and head in self._stored and not np.array_equal(self.read(head), self.read(embed)):
            raise UserError(
                f"{self._folder}: {head} differs from {embed}, but tie_word_embeddings is true.\n"
                "Set it to false in config.json if the head is separate."
            )


def _no_weights(folder: Path) -> str:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if not pickles:
        return f"{folder}: neither {WEIGHTS} nor {INDEX} is there. Check the path."
    return (
        f"{folder}: holds {pickles[0]} but no {WEIGHTS}. Pickle files can run code when read, so they are refused.\n"
        "Convert them once where you trust them: load the folder with transformers' "
        "AutoModelForCausalLM.from_pretrained and write it with save_pretrained."
    )
